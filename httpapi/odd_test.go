package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// odd is a request that must be refused: with a status, a code, and words that name what is
// wrong with it.
type odd struct {
	name, method, path, body string
	headers                  []string
	status                   int
	code, says               string
}

const invalid = fsm.CodeInvalid

// with is a good detached task with something more at its end.
func with(more string) string {
	return `{"model":"builtin/markov","prompt":"hi","detach":true,` + more + `}`
}

// put is a good task with one field of another value.
func put(field, value string) string {
	t := map[string]json.RawMessage{"model": []byte(`"builtin/markov"`), "prompt": []byte(`"hi"`), "detach": []byte(`true`)}
	t[field] = json.RawMessage(value)
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(t)) {
		parts = append(parts, fmt.Sprintf("%q:%s", k, t[k]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func chatWith(more string) string {
	return `{"model":"builtin/markov","messages":[{"role":"user","content":"x"}],` + more + `}`
}

// oddTypes has every field of a task in every wrong type.
func oddTypes() (all []odd) {
	kinds := map[string]string{
		"model": "string", "prompt": "string", "messages": "list", "max_tokens": "number", "temperature": "number", "top_p": "number",
		"seed": "number", "stop": "stop", "stream": "bool", "priority": "string", "detach": "bool", "session": "string", "hive": "string",
		"deadline": "string", "labels": "object", "on_worker_loss": "string",
	}
	values := map[string]string{"string": `"\u0000"`, "number": "7e77", "bool": "true", "list": "[5]", "object": `{"a":5}`}
	for _, field := range slices.Sorted(maps.Keys(kinds)) {
		for _, kind := range slices.Sorted(maps.Keys(values)) {
			if kind == kinds[field] && kind == "bool" || field == "prompt" && kind == "string" || field == "stop" && kind == "string" {
				continue // right
			}
			says := field
			if field == "messages" && kind == "list" {
				says = "prompt: give either"
			}
			all = append(all, odd{"type " + field + " " + kind, "POST", "/v2/tasks", put(field, values[kind]), nil, 400, invalid, says})
		}
	}
	return all
}

// oddJSON is what is no JSON, or not one object of it, or one that cannot be meant.
func oddJSON() []odd {
	labels := make([]string, 100_000)
	for i := range labels {
		labels[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	task := func(name, body, says string) odd {
		return odd{name, "POST", "/v2/tasks", body, nil, 400, invalid, says}
	}
	all := []odd{
		task("100,000 labels", with(`"labels":{`+strings.Join(labels, ",")+`}`), "labels: 100000, at most 64"),
		task("100,000 fields", with(strings.Join(labels, ",")), "more than 1024 fields"),
		task("10,000 levels", with(`"stop":`+deep(10_000)), "nested deeper than 256 levels"),
		task("300 levels", with(`"stop":`+deep(300)), "nested deeper than 256 levels"),
		task("levels of an unknown field", with(`"x":`+deep(1_000_000)), "nested deeper"),
		task("a field twice", with(`"model":"other"`), "model: is given twice"),
		task("a field twice, escaped", with(`"m\u006fdel":"other"`), "model: is given twice"),
		task("another case", with(`"Priority":"batch"`), "Priority: write it as priority"),
		task("another fold", with("\"\u017ftop\":\"x\""), "write it as stop"),
		task("unknown field", with(`"maxtokens":5`), "maxtokens: is no field of this request; there are model"),
		task("bad UTF-8", with("\"session\":\"\xff\""), "body: byte 65 is not UTF-8"),
		task("bad UTF-8 in a prompt", "{\"model\":\"builtin/markov\",\"prompt\":\"\xc0\xaf\"}", "is not UTF-8"),
		task("NUL in the JSON", "{\"model\":\"a\x00\"}", "not JSON at byte"),
		task("NUL in a name", put("model", `"a\u0000b"`), "model: \"a\\x00b\" holds control"),
		task("line end in a name", put("session", `"a\nb"`), "session: "),
		task("control in a hive", put("hive", `"a\u001bb"`), "hive: "),
		task("control in a label", put("labels", `{"a":"\u0007"}`), "labels: "),
		task("empty label", put("labels", `{"":"x"}`), "labels: "),
		task("long label", put("labels", `{"a":"`+strings.Repeat("x", 257)+`"}`), "labels: "),
		task("1e400", put("temperature", "1e400"), "temperature: is a JSON number 1e400, must be a number that 64 bits can hold"),
		task("-0 tokens", put("max_tokens", "-0"), "max_tokens: is 0"),
		task("half a token", put("max_tokens", "1.5"), "max_tokens: is a JSON number 1.5, must be a whole number"),
		task("2^63 tokens", put("max_tokens", "9223372036854775808"), "max_tokens: is a JSON number 9223372036854775808"),
		task("a billion tokens", put("max_tokens", "1000000000"), "max_tokens: is 1000000000, must be 1 to"),
		task("2^63 seed", put("seed", "9223372036854775808"), "seed: "),
		task("NaN", put("top_p", "0"), "top_p: is 0, must be above 0"),
		task("no number", with(`"temperature":NaN`), "body: not JSON at byte"),
		task("leading zero", with(`"max_tokens":007`), "body: not JSON at byte"),
		task("comment", with(`"seed":5/* my lucky one */`), "body: not JSON at byte"),
		task("trailing comma", with(`"seed":5,`), "body: not JSON at byte"),
		task("single quotes", "{'model':'x'}", "body: not JSON at byte"),
		task("empty model", put("model", `""`), "model: is missing"),
		task("null model", put("model", "null"), "model: is missing"),
		task("null prompt", put("prompt", "null"), "prompt: give a prompt"),
		task("1 MB model", put("model", `"`+strings.Repeat("m", 1<<20)+`"`), "model: 1048576 bytes, at most 256"),
		task("long session", put("session", `"`+strings.Repeat("s", 257)+`"`), "session: 257 bytes, at most 256"),
		task("long hive", put("hive", `"`+strings.Repeat("h", 129)+`"`), "hive: 129 bytes"),
		task("no messages", `{"model":"builtin/markov","messages":[]}`, "messages: is empty"),
		task("null message", `{"model":"builtin/markov","messages":[null]}`, "messages[0]"),
		task("message without a role", `{"model":"builtin/markov","messages":[{"role":"user"},{"role":""}]}`, "messages[1]"),
		task("70,000 messages", `{"model":"builtin/markov","messages":[`+strings.Repeat(`{"role":"user"},`, 70_000)+`{}]}`, "messages: 70001, at most 65536"),
		task("17 stops", put("stop", `["`+strings.Repeat(`","`, 16)+`"]`), "stop: must be"),
		task("null stop", put("stop", `[null]`), "stop: must be"),
		task("deadline of 0", put("deadline", `"0s"`), "deadline: "),
		task("deadline in the past", put("deadline", `"-1h"`), "deadline: "),
		task("deadline without a unit", put("deadline", `"30"`), "deadline: "),
		task("deadline in an age", put("deadline", `"2000000h"`), "deadline: "),
		task("deadline beyond all", put("deadline", `"99999999999999999999h"`), "deadline: "),
		task("priority", put("priority", `"urgent"`), "priority: "),
		task("on_worker_loss", put("on_worker_loss", `"panic"`), "on_worker_loss: "),
		task("trailing garbage", with(`"seed":5`)+"x", "body: more follows"),
		task("trailing NUL", with(`"seed":5`)+"\x00", "body: more follows"),
		task("two objects", with(`"seed":5`)+with(`"seed":5`), "body: more follows"),
		task("BOM", "\xef\xbb\xbf"+with(`"seed":5`), "byte order mark"),
		task("UTF-16", "\xff\xfe{\x00}\x00", "body: is UTF-16"),
		task("UTF-16, other end", "\xfe\xff\x00{\x00}", "body: is UTF-16"),
		task("nothing", "", "body: is empty"),
		task("blanks", " \n\t ", "body: is empty"),
		task("cut", with(`"seed":5`)[:40], "body: not JSON: it ends in the middle"),
		task("cut in a string", `{"model":"buil`, "body: not JSON: it ends in the middle"),
	}
	for _, other := range []string{"[]", "null", `"text"`, "5", "true", `[{"model":"x"}]`} {
		all = append(all, task("no object: "+other, other, "must be a JSON object"))
	}
	return all
}

// oddHeaders is what headers can say wrongly.
func oddHeaders() (all []odd) {
	good := with(`"seed":5`)
	header := func(path, name, value, says string) {
		all = append(all, odd{fmt.Sprintf("%s: %.20q", name, value), "POST", path, good, []string{name, value}, 400, invalid, says})
	}
	for _, v := range []string{"x", "5", "-5s", "1e9h", "999h", "9999999999999999999s", "5 s", "PT5S"} {
		header("/v2/tasks", headerGrace, v, headerGrace)
	}
	for _, v := range []string{"", " ", "a\tb", "\u00e9", strings.Repeat("k", 256)} {
		header("/v2/tasks", "Idempotency-Key", v, "Idempotency-Key: give one of 1 to 255")
	}
	for _, v := range []string{"x", "-5", "1e9", "99999999999999999999", "0x10", "+1", "1.5", "1,2"} {
		header("/v2/tasks", headerIndex, v, headerIndex)
	}
	header("/v2/tasks?consistency=linear", "X-Nothing", "x", "consistency")
	for _, e := range []string{"gzip", "br", "deflate, gzip", "GZIP", "x"} {
		all = append(all,
			odd{"encoding " + e, "POST", "/v2/tasks", good, []string{"Content-Encoding", e}, 415, codeEncoding, "Content-Encoding: "},
			odd{"encoding " + e + " on /v1", "POST", "/v1/chat/completions", chatWith(`"n":1`), []string{"Content-Encoding", e}, 415, codeEncoding, "Content-Encoding: "})
	}
	all = append(all, odd{"two keys", "POST", "/v2/tasks", good, []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, invalid, "Idempotency-Key: give one"})
	for _, a := range []string{"", "Bearer", "Bearer ", "Basic eDp5", apiKey, "Bearer: " + apiKey, "Bearer " + apiKey + " x", "Bearer " + strings.Repeat("k", 40_000), "Bearer \xff\xfe", "Digest " + apiKey} {
		all = append(all, odd{fmt.Sprintf("authorization %.20q", a), "GET", "/v2/jobs", "", []string{"Authorization", a}, 401, fsm.CodeUnauthenticated, "Authorization: "})
	}
	chatHeader := func(name, value string) {
		all = append(all, odd{fmt.Sprintf("%s: %.20q", name, value), "POST", "/v1/chat/completions", chatWith(`"n":1`), []string{name, value}, 400, invalid, name})
	}
	for _, v := range []string{"x", "-1s", "0", "5", "9999999h", "1s1"} {
		chatHeader("X-Rbee-Deadline", v)
	}
	chatHeader("X-Rbee-Priority", "urgent")
	chatHeader("X-Rbee-Session", strings.Repeat("s", 257))
	chatHeader("X-Rbee-Session", "\xff")
	return all
}

// oddPlaces is what paths, queries and methods can say wrongly.
func oddPlaces(job string) (all []odd) {
	get := func(path string, status int, code, says string) {
		all = append(all, odd{"GET " + fmt.Sprintf("%.60s", path), "GET", path, "", nil, status, code, says})
	}
	for _, q := range []string{"limit=-1", "limit=0", "limit=1001", "limit=1e3", "limit=99999999999999999999", "limit=x", "limit=%00"} {
		for _, list := range []string{"jobs", "hives", "workers", "models"} {
			get("/v2/"+list+"?"+q, 400, invalid, "limit: ")
		}
	}
	for _, c := range []string{"garbage", "%00", "%ff", "01ARZ3NDEKTSV4RRFFQ69G5FAU%0A", strings.Repeat("Z", 5000)} {
		get("/v2/jobs?cursor="+c, 400, invalid, "cursor: ")
	}
	for _, list := range []string{"hives", "workers", "models"} {
		get("/v2/"+list+"?cursor=%ff", 400, invalid, "cursor: ")
		get("/v2/"+list+"?cursor="+strings.Repeat("z", 2000), 400, invalid, "cursor: ")
	}
	get("/v2/jobs?%zz", 400, invalid, "query: ")
	get("/v2/jobs?limit=5;state=x", 400, invalid, "query: ")
	get("/v2/jobs?state=lazy", 400, invalid, "state: ")
	get("/v2/jobs?priority=urgent", 400, invalid, "priority: ")
	get("/v2/jobs?consistency=STRONG", 400, invalid, "consistency: ")
	get("/v2/cluster/hash?index=-1", 400, invalid, "index: ")
	get("/v2/cluster/hash?index=x", 400, invalid, "index: ")
	get("/v2/cluster/hash?index=99999999", 503, fsm.CodeReplicaBehind, "99999999")
	get("/v2/jobs/"+job+"/events?format=xml", 400, invalid, "format: ")
	get("/v2/jobs/"+job+"/result", 409, fsm.CodeConflict, "once it has ended")
	for _, id := range []string{"x", "%00", "%ff", "..", "%2e%2e", "a%2fb", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01arz3ndektsv4rrffq69g5fav", strings.Repeat("x", 256)} {
		for _, of := range []string{"", "/events", "/result", "/body"} {
			get("/v2/jobs/"+id+of, 404, fsm.CodeNotFound, "")
		}
		all = append(all, odd{"DELETE job " + fmt.Sprintf("%.30s", id), "DELETE", "/v2/jobs/" + id, "", nil, 404, fsm.CodeNotFound, ""})
	}
	for _, at := range []string{"/v2/jobs/", "/v2/hives/", "/v1/models/"} {
		get(at+strings.Repeat("x", 8000), 400, invalid, "id: 8000 bytes")
	}
	for _, p := range []string{"//v2/jobs", "/v2//jobs", "/v2/../v2/jobs", "/v2/./jobs", "/v2/jobs/", "/V2/jobs", "/v2", "/v2/nothing", "/v2/jobs#x", "/v2/tasks%00", "/%2e%2e/%2e%2e/etc/passwd", "/v2%2fjobs"} {
		get(p, 404, fsm.CodeNotFound, "there is nothing at")
	}
	for _, m := range []string{"none", "a%2Fb", "a/b", "../x", "%00", strings.Repeat("m", 256)} {
		get("/v1/models/"+m, 404, fsm.CodeModelNotFound, "is offered by no hive")
	}
	get("/v1/nothing", 404, fsm.CodeNotFound, "there is nothing at")
	get("/v1", 404, fsm.CodeNotFound, "there is nothing at")
	get("/v1/v1/models", 404, fsm.CodeNotFound, "base URL end in /v1 once")
	get("/models", 404, fsm.CodeNotFound, "base URL end in /v1")
	all = append(all, odd{"no /v1", "POST", "/chat/completions", chatWith(`"n":1`), nil, 404, fsm.CodeNotFound, "base URL end in /v1"})
	for _, id := range []string{"x", "-1.5", "1", "1.", ".1", "1.1.1", "1.0", "4294967296.1", "1.9223372036854775808", "1.+5", "+1.1", "1e3.1", "\xff", strings.Repeat("9", 5000)} {
		all = append(all, odd{fmt.Sprintf("Last-Event-ID %.20q", id), "GET", "/v2/jobs/" + job + "/events", "", []string{"Last-Event-ID", id}, 400, invalid, "Last-Event-ID: "})
	}
	return all
}

// oddMethods is every path with methods it has not.
func oddMethods() (all []odd) {
	methods := map[string][]string{}
	for _, rt := range routes {
		methods[rt.path] = append(methods[rt.path], rt.method)
	}
	for _, path := range slices.Sorted(maps.Keys(methods)) {
		at := strings.NewReplacer("{id:.+}", "x", "{id}", "x").Replace(path)
		for _, m := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "FOO"} {
			other := m == "GET" && strings.HasPrefix(path, "/v2/workers/") || m == "DELETE" && strings.HasPrefix(path, "/v2/workers/")
			if slices.Contains(methods[path], m) || other { // a worker may be called so
				continue
			}
			says := "only to " + strings.Join(methods[path], ", ")
			all = append(all, odd{m + " " + path, m, at, "", nil, 405, codeMethod, says})
		}
	}
	return all
}

// oddMachines is what hives, queens and operators can send wrongly.
func oddMachines() (all []odd) {
	hive := []string{"Authorization", "Bearer " + cluster.HiveToken(testToken)}
	register := func(body, says string) {
		all = append(all, odd{fmt.Sprintf("register %.50q", body), "POST", "/v2/hives", body, hive, 400, invalid, says})
	}
	hiveWith := func(more string) string { return `{"id":"h9","boot":"b","url":"http://x",` + more + `}` }
	register("", "body: is empty")
	register("[]", "must be a JSON object")
	register("{}", "id: ")
	register(`{"id":5}`, "id: ")
	for _, id := range []string{"", "..", "a/b", "\\u0000", "\u00e9", "-x", strings.Repeat("h", 65)} {
		register(`{"id":"`+id+`","boot":"b","url":"http://x"}`, "id: ")
	}
	register(`{"id":"h9"}`, "boot: ")
	for _, u := range []string{"", "ftp://x", "http://", "x", "http://a\\u0000b"} {
		register(`{"id":"h9","boot":"b","url":"`+u+`"}`, "url: ")
	}
	register(hiveWith(`"labels":{"":"x"}`), "labels: ")
	register(hiveWith(`"labels":[]`), "labels: ")
	register(hiveWith(`"devices":[{"id":""}]`), "devices: ")
	register(hiveWith(`"devices":[{"id":"a"},{"id":"a"}]`), "devices: ")
	register(hiveWith(`"devices":[{"id":"a","total_bytes":-1}]`), "devices: ")
	register(hiveWith(`"devices":[{"id":"a","total_bytes":1e400}]`), "devices.total_bytes: ")
	register(hiveWith(`"engines":[{"name":"","models":[{"ref":"x","slots":1}]}]`), "engines: ")
	register(hiveWith(`"engines":[{"name":"e","models":[{"ref":"x","slots":0}]}]`), "engines: ")
	register(hiveWith(`"nonsense":1`), "nonsense: is no field")
	register(hiveWith(`"devices":[{"nonsense":1}]`), "nonsense")
	register(hiveWith(`"url":"http://y"`), "url: is given twice")
	beat := func(path, body string, status int, code, says string) {
		all = append(all, odd{fmt.Sprintf("beat %s %.50q", path, body), "POST", "/v2/hives/" + path + "/heartbeat", body, hive, status, code, says})
	}
	for body, says := range map[string]string{
		"": "body: is empty", "null": "must be a JSON object", "[]": "must be a JSON object", `{"incarnation":-1}`: "incarnation: ", `{"seq":1.5}`: "seq: ",
		`{"epoch":5}`: "epoch: ", `{"workers":{}}`: "workers: ", `{"workers":[5]}`: "workers: ", `{"runs":[{"job_id":5}]}`: "runs.job_id: ", `{"at":5}`: "at: ", `{"Seq":5}`: "write it as seq",
	} {
		beat("h1", body, 400, invalid, says)
	}
	beat("h1", "{}", 404, fsm.CodeNotFound, "register anew")
	beat("none", "{}", 404, fsm.CodeNotFound, "register anew")
	beat("%00", "{}", 404, fsm.CodeNotFound, "register anew")
	for _, q := range []string{"wait=999h", "wait=-1s", "wait=5", "wait=x", "index=x", "index=-1"} {
		field, _, _ := strings.Cut(q, "=")
		all = append(all, odd{"desired " + q, "GET", "/v2/hives/h1/desired?" + q, "", hive, 400, invalid, field + ": "})
	}
	all = append(all,
		odd{"desired of none", "GET", "/v2/hives/none/desired", "", hive, 404, fsm.CodeNotFound, "not registered"},
		odd{"desired of the future", "GET", "/v2/hives/h1/desired?index=99999999999&wait=1ms", "", hive, 503, fsm.CodeReplicaBehind, ""},
	)
	admin := func(path, body string, status int, code, says string) {
		all = append(all, odd{fmt.Sprintf("POST %s %.40q", path, body), "POST", path, body, nil, status, code, says})
	}
	for body, says := range map[string]string{
		"": "body: is empty", "[]": "must be a JSON object", "{}": "model: is missing", `{"model":5}`: "model: ", `{"model":"builtin/markov","slots":1e400}`: "slots: ", `{"model":"builtin/markov","slots":-1}`: "slots: ",
		`{"model":"builtin/markov","hive":5}`: "hive: ", `{"model":"builtin/markov","hive":"\n"}`: "hive: ", `{"model":"builtin/markov","device":"` + strings.Repeat("d", 200) + `"}`: "device: ", `{"model":"builtin/markov","x":1}`: "x: is no field",
	} {
		admin("/v2/workers/spawn", body, 400, invalid, says)
	}
	admin("/v2/workers/spawn?wait=999h", `{"model":"builtin/markov"}`, 400, invalid, "wait: ")
	admin("/v2/workers/spawn?wait=x", `{"model":"builtin/markov"}`, 400, invalid, "wait: ")
	admin("/v2/workers/shutdown", `{}`, 400, invalid, "worker_id: ")
	admin("/v2/workers/shutdown", `{"worker_id":5}`, 400, invalid, "worker_id: ")
	admin("/v2/workers/shutdown", `{"worker_id":"`+strings.Repeat("d", 5000)+`"}`, 400, invalid, "worker_id: ")
	admin("/v2/cluster/transfer", `{"to":5}`, 400, invalid, "to: ")
	admin("/v2/cluster/transfer", `{"to":"\u0000"}`, 404, fsm.CodeNotFound, "to: ")
	admin("/v2/hives/h1/drain", `[1`, 400, invalid, "body: ")
	admin("/v2/hives/h1/stop", `{"force":true}`, 400, invalid, "force: is no field")
	admin("/v2/hives/%00/drain", "", 404, fsm.CodeNotFound, "")
	return append(all, odd{"force", "DELETE", "/v2/workers/w-1?force=maybe", "", nil, 400, invalid, "force: "})
}

// oddOpenAI is what the OpenAI API refuses before a job is made of it.
func oddOpenAI() (all []odd) {
	ask := func(path, body, says string) {
		all = append(all, odd{fmt.Sprintf("%s %.60q", path, body), "POST", path, body, nil, 400, invalid, says})
	}
	for body, says := range map[string]string{
		"": "body: is empty", "null": "must be a JSON object", "[]": "must be a JSON object", "{}": "model: is missing", `{"model":5}`: "model: ", `{"model":null}`: "model: is missing",
		`{"model":"builtin/markov"}`: "messages: ", `{"model":"builtin/markov","messages":{}}`: "messages: ", `{"model":"builtin/markov","messages":[]}`: "messages: ",
		`{"model":"builtin/markov","messages":[null]}`: "messages[0]", `{"model":"builtin/markov","messages":[5]}`: "messages[0]", `{"model":"builtin/markov","messages":"x"}`: "messages: ",
		chatWith(`"n":0`): "n: is 0", chatWith(`"n":129`): "n: ", chatWith(`"n":1.5`): "n: ", chatWith(`"stream":"yes"`): "stream: ", chatWith(`"max_tokens":-1`): "max_tokens: ",
		chatWith(`"max_completion_tokens":1e400`): "max_completion_tokens: ", chatWith(`"seed":1`) + "x": "body: more follows", "\xef\xbb\xbf" + chatWith(`"n":1`): "byte order mark",
		chatWith(`"model":"other"`): "model: is given twice", chatWith(`"MODEL":"other"`): "MODEL: write it as model", chatWith("\"user\":\"\xff\""): "is not UTF-8",
		chatWith(`"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)): "nested deeper", chatWith(`"seed":1`)[:30]: "ends in the middle",
	} {
		ask("/v1/chat/completions", body, says)
	}
	for body, says := range map[string]string{
		`{"model":"builtin/markov"}`: "prompt: is missing", `{"model":"builtin/markov","prompt":null}`: "prompt: is missing",
		`{"model":"builtin/markov","prompt":5}`: "prompt: is", `{"model":"builtin/markov","prompt":{}}`: "prompt: is", `{"model":"builtin/markov","prompt":"x","n":0}`: "n: ",
	} {
		ask("/v1/completions", body, says)
	}
	return all
}

// TestOddInput: whatever is sent, the answer has a status, a code and words that name what is
// wrong; nothing of it is accepted, and who comes next is served.
func TestOddInput(t *testing.T) {
	w := newWorld(t)
	w.api.cfg.BodyLimit = 8 << 20
	w.register()
	w.beat(func(*hives.Heartbeat) {})
	w.goOnBeating()
	addr := w.listen()
	_, _, h := w.read("POST", "/v2/tasks", with(`"seed":1`))
	job := h.Get(headerJob)
	before := w.queen.View().Meta().Index
	all := slices.Concat(oddTypes(), oddJSON(), oddHeaders(), oddPlaces(job), oddMethods(), oddMachines(), oddOpenAI())
	if len(all) < 500 {
		t.Errorf("only %d cases", len(all))
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, addr)
			go conn.say(whole(c.method, c.path, c.body, c.headers...))
			resp, text := conn.answer()
			code, message := told(t, text, speaksOpenAI(c.path))
			if resp.StatusCode != c.status || code != c.code && code != "invalid_api_key" || !strings.Contains(message, c.says) {
				t.Errorf("%d %s: %s\nwant %d %s with %q", resp.StatusCode, code, message, c.status, c.code, c.says)
			}
			if len(message) > 600 {
				t.Errorf("a message of %d bytes", len(message))
			}
			if (c.status == 405) != (resp.Header.Get("Allow") != "") || (c.status == 503) != (resp.Header.Get("Retry-After") != "") || resp.Header.Get(headerJob) != "" && !strings.Contains(c.path, job) {
				t.Errorf("headers: %v", resp.Header)
			}
		})
	}
	if after := w.queen.View().Meta().Index; after != before || len(mustJobs(w)) != 1 {
		t.Errorf("something was accepted: index %d, was %d; %d jobs", after, before, len(mustJobs(w)))
	}
	if status, body, _ := w.read("POST", "/v2/tasks", with(`"seed":2`)); status != 202 {
		t.Errorf("a good task after all that: %d %s", status, body)
	}
}

// told reads an error in either of its two shapes.
func told(t *testing.T, text string, openAI bool) (code, message string) {
	t.Helper()
	var p problem
	var o openAIError
	into := any(&p)
	if openAI {
		into = &o
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("no error in the API's shape: %q", text)
	}
	if openAI {
		return o.Error.Code, o.Error.Message
	}
	return p.Code, p.Detail
}

// TestOddButMeant: what is unusual and clear is taken.
func TestOddButMeant(t *testing.T) {
	w := newWorld(t)
	w.register()
	addr := w.listen()
	good := with(`"seed":5`)
	for name, c := range map[string]struct {
		body    string
		headers []string
	}{
		"null for every other field": {with(`"messages":null,"max_tokens":null,"temperature":null,"top_p":null,"seed":null,"stop":null,"stream":null,"priority":null,"session":null,"hive":null,"deadline":null,"labels":null,"on_worker_loss":null`), nil},
		"NUL in a prompt":            {put("prompt", `"a\u0000b"`), nil},
		"half a surrogate":           {put("prompt", `"\ud800"`), nil},
		"empty prompt":               {put("prompt", `""`), nil},
		"-0":                         {put("temperature", "-0"), nil},
		"largest seed":               {put("seed", "9223372036854775807"), nil},
		"blanks around":              {" \n" + good + "\r\n\t", nil},
		"escaped name":               {`{"m\u006fdel":"builtin/markov","prompt":"hi","detach":true}`, nil},
		"200 levels":                 {`{"model":"builtin/markov","detach":true,"messages":[{"role":"user","content":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}]}`, nil},
		"no encoding":                {good, []string{"Content-Encoding", "identity"}},
		"another content type":       {good, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"a broken content type":      {good, []string{"Content-Type", ";;;="}},
		"no grace":                   {good, []string{headerGrace, "0"}},
		"bearer in small letters":    {good, []string{"Authorization", "bearer  " + apiKey}},
		"key with blanks":            {good, []string{"Idempotency-Key", "my own key/1"}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, addr)
			go conn.say(whole("POST", "/v2/tasks", c.body, c.headers...))
			if resp, text := conn.answer(); resp.StatusCode != 202 {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
		})
	}
	for _, path := range []string{"/health", "/ready"} {
		if status, _, _ := w.read("HEAD", path, ""); status != 200 {
			t.Errorf("HEAD %s: %d", path, status)
		}
	}
}

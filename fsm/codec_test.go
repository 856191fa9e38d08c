package fsm

import (
	"encoding/hex"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The bytes of every command are kept for ever: a golden file that changes is a log that an
// older or newer queen reads differently.
func TestCommandsGolden(t *testing.T) {
	seen := map[Number]bool{}
	for _, cmd := range samples() {
		n := cmd.number()
		seen[n] = true
		b := &Batch{Base: 41, Epoch: testEpoch, Now: 90e9, Wall: 1700000000123, Level: 1, Commands: []Command{cmd}}
		data, err := EncodeBatch(b)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%02d-%s.golden", n, n)
		text := fmt.Sprintf("# command %d, %s, in a batch of its own\n# %s\n%s",
			n, n, readable(cmd), hexLines(data))
		golden(t, filepath.Join("../testdata/fsm/commands", name), text)

		back, err := DecodeBatch(data)
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		if !reflect.DeepEqual(b, back) {
			t.Errorf("%s reads back as\n%s\nwant\n%s", n, readable(back.Commands[0]), readable(cmd))
		}
	}
	for n := range kinds {
		if kinds[n].make != nil && !seen[Number(n)] {
			t.Errorf("command %d (%s) has no sample", n, Number(n))
		}
	}
}

func hexLines(data []byte) string {
	var b strings.Builder
	for len(data) > 0 {
		n := min(32, len(data))
		b.WriteString(hex.EncodeToString(data[:n]) + "\n")
		data = data[n:]
	}
	return b.String()
}

// laterFields are fields that make a command one of a later number.
var laterFields = map[Number]map[string]bool{
	numSpawn:       {"Context": true, "LoadFor": true},
	numWorkerState: {"Holds": true},
}

// Every field of every command must be in its encoding: a changed field changes the bytes.
func TestEveryFieldIsEncoded(t *testing.T) {
	for _, cmd := range samples() {
		if _, job := cmd.(*Submit); job { // its Job has fields that are Apply's to set
			continue
		}
		before, err := EncodeBatch(&Batch{Commands: []Command{cmd}})
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.ValueOf(cmd).Elem()
		for i := range v.NumField() {
			if laterFields[cmd.number()][v.Type().Field(i).Name] {
				continue
			}
			if v.Field(i).IsZero() {
				t.Errorf("sample of %s leaves %s empty", cmd.number(), v.Type().Field(i).Name)
			}
			old := reflect.New(v.Field(i).Type()).Elem()
			old.Set(v.Field(i))
			v.Field(i).SetZero()
			after, err := EncodeBatch(&Batch{Commands: []Command{cmd}})
			if err == nil && string(after) == string(before) {
				t.Errorf("%s: field %s is not encoded", cmd.number(), v.Type().Field(i).Name)
			}
			v.Field(i).Set(old)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good, err := EncodeBatch(&Batch{Base: 1, Epoch: testEpoch, Level: 1, Commands: []Command{&Ready{Job: "j1"}}})
	if err != nil {
		t.Fatal(err)
	}
	header := good[:len(good)-5] // format, base, epoch, now, wall, level
	with := func(tail ...byte) []byte { return append(append([]byte(nil), header...), tail...) }
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "format: cut off"},
		{"another format", append([]byte{9}, good[1:]...), "format 9 is not known"},
		{"bytes behind", append(append([]byte(nil), good...), 0), "1 bytes too many"},
		{"unknown number", with(1, 99), "number 99, unknown to this build"},
		{"number zero", with(1, 0), "number 0, unknown to this build"},
		{"more commands than bytes", with(200, 1), "commands: cut off"},
		{"too many commands", with(0x81, 0x80, 0x04), "commands: 65537 is over the limit"},
		{"count not minimal", with(0x81, 0), "commands: number not in its shortest form"},
		{"number over 64 bits", with(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), "over 64 bits"},
		{"name cut off", with(1, byte(numReady), 5, 'a'), "command 1 (ready): job: cut off"},
		{"name too long", with(1, byte(numReady), 0xff, 0x7f), "command 1 (ready): job: 16383 is over the limit of 128"},
		{"unknown enum", with(1, byte(numHiveStatus), 1, 'h', 9), "command 1 (hive_status): status: unknown value 9"},
		{"flag of two", with(1, byte(numEndJob), 1, 'j', 1, 3, 0, 0, 0, 0, 0, 2), "failure: flag is 2"},
		{"attempt over 32 bits", with(1, byte(numStarted), 1, 'j', 0xff, 0xff, 0xff, 0xff, 0x7f), "attempt: 34359738367 is too large"},
		{"level from the future", with(1, byte(numRaiseLevel), 3), "level: 3 is above 2"},
		{"an empty tail", with(1, byte(numSpawn2), 1, 'w', 1, 'h', 0, 1, 'm', 0, 0, 0, 0, 0), "it is there and says nothing"},
		{"progress not a number", with(1, byte(numWorkerState), 1, 'w', 1, 0, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1, 0), "progress: not a number"},
	} {
		b, err := DecodeBatch(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v; want an error with %q", c.name, b, err, c.want)
		}
	}
	for cut := range good {
		if _, err := DecodeBatch(good[:cut]); err == nil {
			t.Errorf("a batch cut to %d of %d bytes decodes", cut, len(good))
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	long := strings.Repeat("x", MaxText+1)
	for _, c := range []struct {
		cmd  Command
		want string
	}{
		{&ExpireJob{ID: long}, "command 1 (expire_job): id: 16385 is over the limit of 128"},
		{&Submit{Job: Job{ID: "j", Holders: make([]Holder, MaxHolders+1)}}, "holders: 257 is over the limit"},
		{&EndJob{Job: "j", State: JobQueued}, "state: unknown value 1"},
		{&WishEnd{Job: "j"}, "reason: unknown value 0"},
		{&SetWorkerState{ID: "w", State: WorkerReady, Progress: math.NaN()}, "progress: not a number"},
		{&RaiseLevel{Level: CurrentLevel + 1}, "level: 3 is above 2"},
	} {
		_, err := EncodeBatch(&Batch{Commands: []Command{c.cmd}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.cmd.number(), err, c.want)
		}
	}
}

// A decoded batch must not hold on to the entry it came from, nor be changed with it.
func TestDecodeKeepsNothing(t *testing.T) {
	data, err := EncodeBatch(sampleBatch())
	if err != nil {
		t.Fatal(err)
	}
	b, err := DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = 0xff
	}
	if !reflect.DeepEqual(b, sampleBatch()) {
		t.Error("the batch changed with the bytes it was read from")
	}
}

package enginetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Recording is one exchange with a real llama-server.
type Recording struct {
	Method, Path string
	Body         []byte   // of the request
	Reads        [][]byte // the answer as it was read from the socket, headers and chunking too
}

// Load reads one of testdata/transcripts: ">>> request", then blocks "<<< +N ms, SIZE bytes" of
// that size, then how it ended.
func Load(dir, name string) (Recording, error) {
	b, err := os.ReadFile(filepath.Join(dir, name+".http"))
	if err != nil {
		return Recording{}, err
	}
	const block = "<<< +"
	request, rest, _ := strings.Cut(strings.TrimPrefix(string(b), ">>> request\n"), block)
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	words := strings.Fields(head)
	if len(words) < 2 {
		return Recording{}, fmt.Errorf("%s: no request", name)
	}
	r := Recording{Method: words[0], Path: words[1], Body: []byte(strings.TrimSuffix(body, "\n"))}
	for rest = block + rest; strings.HasPrefix(rest, block); {
		line, after, _ := strings.Cut(rest, "\n")
		_, size, _ := strings.Cut(line, ", ")
		n, err := strconv.Atoi(strings.TrimSuffix(size, " bytes"))
		if err != nil || n > len(after) {
			return Recording{}, fmt.Errorf("%s: %q is no block", name, line)
		}
		r.Reads = append(r.Reads, []byte(after[:n]))
		rest = strings.TrimPrefix(after[n:], "\n")
	}
	return r, nil
}

// Answer is the recorded answer without headers and chunking. Whole is false for one that broke off.
func (r Recording) Answer() (header http.Header, body []byte, whole bool) {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(bytes.Join(r.Reads, nil))), nil)
	if err != nil {
		return nil, nil, false
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.Header, body, err == nil
}

// Data is the data of each event of a recorded stream.
func (r Recording) Data() (data []string) {
	_, body, _ := r.Answer()
	for event := range strings.SplitSeq(string(body), "\n\n") {
		if d, ok := strings.CutPrefix(event, "data: "); ok {
			data = append(data, d)
		}
	}
	return data
}

package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"mime"
	"mime/multipart"
	"strconv"

	"queen-rbee/fsm"
)

// Bounds of a form: its parts, and the bytes of one whose text is read.
const (
	maxParts    = 256
	maxPartText = 1 << 10
)

func isForm(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "multipart/form-data"
}

// readForm reads the fields of a form that a request names too; files are passed over. It gives
// what identifies the form: its parts, whatever stands between them, since clients invent that
// anew each time they send.
func readForm(body []byte, contentType string, a *answerRequest) (said []byte, err error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil, fsm.Errorf(fsm.CodeInvalid, "Content-Type: %.100q names no boundary", contentType)
	}
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	sum, seen := sha256.New(), map[string]bool{}
	for n := 0; ; n++ {
		part, err := form.NextRawPart()
		if err == io.EOF { // wrapped it is an end in the middle
			return sum.Sum(nil), nil
		}
		switch {
		case err != nil:
			return nil, errForm(err)
		case n == maxParts:
			return nil, fsm.Errorf(fsm.CodeInvalid, "body: a form of more than %d parts", maxParts)
		}
		name := part.FormName()
		if part.FileName() == "" && a.reads(name) {
			if seen[name] {
				return nil, fsm.Errorf(fsm.CodeInvalid, "%.100s: is given twice", name)
			}
			seen[name] = true
			if err := a.take(name, part, sum); err != nil {
				return nil, err
			}
			continue
		}
		content := sha256.New()
		if _, err := io.Copy(content, part); err != nil {
			return nil, errForm(err)
		}
		identify(sum, name, part.FileName(), part.Header.Get("Content-Type"), string(content.Sum(nil)))
	}
}

func errForm(err error) error {
	return fsm.Errorf(fsm.CodeInvalid, "body: is not a form as its Content-Type says: %v", err)
}

// identify adds texts to a sum so that no others give the same.
func identify(sum io.Writer, texts ...string) {
	for _, s := range texts {
		_, _ = sum.Write(binary.AppendUvarint(nil, uint64(len(s)))) // a hash takes everything
		_, _ = io.WriteString(sum, s)
	}
}

// reads tells the fields of a form that are looked at.
func (a *answerRequest) reads(name string) bool {
	switch name {
	case "model", "stream", "stream_format", "n":
		return true
	}
	return false
}

// take reads one of them.
func (a *answerRequest) take(name string, part io.Reader, sum io.Writer) error {
	text, err := io.ReadAll(io.LimitReader(part, maxPartText+1))
	if err != nil {
		return errForm(err)
	}
	if len(text) > maxPartText {
		return fsm.Errorf(fsm.CodeInvalid, "%s: has more than %d bytes", name, maxPartText)
	}
	v := string(text)
	identify(sum, name, v)
	switch name {
	case "model":
		a.Model = v
	case "stream_format":
		a.StreamFormat = v
	case "stream":
		a.Stream, err = strconv.ParseBool(v)
	case "n":
		var n int
		n, err = strconv.Atoi(v)
		a.N = &n
	}
	if err != nil {
		return fsm.Errorf(fsm.CodeInvalid, "%s: %.40q does not fit there", name, v)
	}
	return nil
}

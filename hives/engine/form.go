package engine

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"

	"queen-rbee/hives"
)

// WithModelIn is WithModel for a body of any content type, empty for JSON: a form, too, names
// its model. The other parts keep what they hold.
func WithModelIn(contentType string, body []byte, model string) ([]byte, error) {
	kind, params, _ := mime.ParseMediaType(contentType)
	if kind != "multipart/form-data" {
		return WithModel(body, model)
	}
	var out bytes.Buffer
	to := multipart.NewWriter(&out)
	if err := to.SetBoundary(params["boundary"]); err != nil {
		return nil, errForm(err)
	}
	from := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := from.NextRawPart()
		if err == io.EOF { //nolint:errorlint // wrapped it is an end in the middle
			err = to.Close()
			return out.Bytes(), err
		}
		if err != nil {
			return nil, errForm(err)
		}
		copied, err := to.CreatePart(part.Header)
		if err != nil {
			return nil, errForm(err)
		}
		content := io.Reader(part)
		if part.FormName() == "model" && part.FileName() == "" {
			content = bytes.NewReader([]byte(model))
		}
		if _, err := io.Copy(copied, content); err != nil {
			return nil, errForm(err)
		}
	}
}

func errForm(err error) error {
	return hives.Errorf(hives.CodeInvalid, "the body is not a form as its Content-Type says: %v", err)
}

package agent

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"queen-rbee/hives"
	"queen-rbee/hives/models"
)

// shelving is what queens and other hives ask of the shelf over HTTP.
type shelving struct {
	table *table
	shelf *shelf
	out   gauge // blobs that are being sent
}

const (
	// maxSending is how many blobs go out at once; who finds no room asks another hive or the source.
	maxSending = 16
	blobPiece  = 256 << 10
	maxInspect = 64 << 10
)

// modelBell is the body of a model's doorbells: its desired record with the record's epoch. For
// the end of a model ref and index are enough.
type modelBell struct {
	Epoch string `json:"epoch"`
	hives.DesiredModel
}

func (s *shelving) bell(w http.ResponseWriter, r *http.Request) (modelBell, error) {
	var b modelBell
	if err := decode(w, r, maxBell, &b); err != nil {
		return b, err
	}
	if b.Ref == "" || len(b.Ref) > 256 {
		return b, hives.Errorf(hives.CodeInvalid, "ref: must be given, with at most 256 bytes")
	}
	return b, nil
}

// provision is the doorbell of a model that should be here.
func (s *shelving) provision(w http.ResponseWriter, r *http.Request) error {
	b, err := s.bell(w, r)
	if err != nil {
		return err
	}
	if _, err := models.Parse(b.Source); err != nil {
		return err
	}
	if err := s.table.ringModel(b.Epoch, b.Index); err != nil {
		return err
	}
	s.shelf.want(b.DesiredModel)
	return writeJSON(w, http.StatusAccepted, map[string]string{"ref": b.Ref})
}

// evict is the doorbell of a model that should go.
func (s *shelving) evict(w http.ResponseWriter, r *http.Request) error {
	b, err := s.bell(w, r)
	if err != nil {
		return err
	}
	if err := s.table.ringModel(b.Epoch, b.Index); err != nil {
		return err
	}
	gone, err := s.shelf.evict(b.Ref, b.Index)
	if err != nil {
		return err
	}
	if !gone { // it goes with the last worker that uses it
		return writeJSON(w, http.StatusAccepted, map[string]any{"ref": b.Ref, "removed": false})
	}
	return writeJSON(w, http.StatusOK, map[string]any{"ref": b.Ref, "removed": true})
}

// inspect tells what a model would take, whether it is here or not.
func (s *shelving) inspect(w http.ResponseWriter, r *http.Request) error {
	var q hives.Inspect
	if err := decode(w, r, maxInspect, &q); err != nil {
		return err
	}
	in, err := s.shelf.store.Inspect(r.Context(), q.Source, int64(q.Slots), int64(q.Context))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, hives.Inspected{Bytes: in.Bytes, Digest: in.Digest, Files: in.Files, Architecture: in.Architecture,
		ContextMax: int(in.ContextMax), Memory: hives.Memory{Weights: in.Memory.Weights, KV: in.Memory.KV, Overhead: in.Memory.Overhead}})
}

// blob sends a file by its digest, whole or in part.
func (s *shelving) blob(w http.ResponseWriter, r *http.Request) error {
	digest := mux.Vars(r)["sha256"]
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != 32 {
		return hives.Errorf(hives.CodeInvalid, "%.80q is not a SHA-256 in hex", digest)
	}
	if !s.out.enter() {
		return hives.Errorf(codeBusy, "this hive sends %d models already", maxSending)
	}
	defer s.out.leave()
	b, err := s.shelf.store.Blob(digest)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+digest+`"`)
	http.ServeContent(patient{w}, r, "", time.Time{}, b)
	return nil
}

// patient gives each piece of a long body its own time to be written.
type patient struct{ http.ResponseWriter }

// ReadFrom copies in pieces, each by the fastest way there is.
func (p patient) ReadFrom(src io.Reader) (n int64, err error) {
	for {
		within(p.ResponseWriter, writeTime)
		piece, err := io.CopyN(p.ResponseWriter, src, blobPiece)
		n += piece
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// fromOllama is the value of models_from for an Ollama library.
	fromOllama = "ollama"
	// maxManifest bounds one manifest of a library.
	maxManifest = 1 << 20
	// ollamaRegistry and ollamaUser are left out of the names of models.
	ollamaRegistry = "registry.ollama.ai"
	ollamaUser     = "library"
	// ollamaSpare is what a model takes beside its layers: an estimate that vram_bytes overrides.
	ollamaSpare = 512 << 20
)

// ollamaLibrary reads what `ollama pull` has brought: manifests/HOST/USER/MODEL/TAG name the
// layers of a model. No server need run for that.
type ollamaLibrary struct {
	dir  string
	only []Model
	slot int // slots of each model
}

// ollamaDir is where an `ollama serve` with that environment keeps its models.
func ollamaDir(env map[string]string) (string, error) {
	if dir := env["OLLAMA_MODELS"]; dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("OLLAMA_MODELS"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%w: set OLLAMA_MODELS in env to Ollama's directory of models", err)
	}
	return filepath.Join(home, ".ollama", "models"), nil
}

// list reads the library. One that is not there yet has no models.
func (o ollamaLibrary) list(context.Context) ([]Model, error) {
	root := filepath.Join(o.dir, "manifests")
	out := []Model{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		parts := strings.Split(filepath.ToSlash(rel), "/")
		if m, ok := o.model(path, parts); ok {
			out = addModel(out, m)
		}
		if len(out) > maxRemote {
			return fmt.Errorf("%s holds more than %d models: name those you want in models", root, maxRemote)
		}
		return nil
	})
	if os.IsNotExist(err) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Model) int { return strings.Compare(a.Ref, b.Ref) })
	return out, nil
}

// model reads one manifest; false when it is none, or not wanted.
func (o ollamaLibrary) model(path string, parts []string) (Model, bool) {
	if len(parts) != 4 || strings.HasPrefix(parts[3], ".") {
		return Model{}, false
	}
	name := parts[2] + ":" + parts[3]
	if parts[1] != ollamaUser || parts[0] != ollamaRegistry {
		name = parts[1] + "/" + name
	}
	if parts[0] != ollamaRegistry {
		name = parts[0] + "/" + name
	}
	size, ok := layers(path)
	m := Model{Ref: cleanRef(name), Name: name, Slots: o.slot, VRAMBytes: size + size/5 + ollamaSpare}
	if !ok || len(o.only) == 0 {
		return m, ok
	}
	at := slices.IndexFunc(o.only, func(want Model) bool { return want.Name == name || want.Name+":latest" == name })
	if at < 0 {
		return Model{}, false
	}
	want := o.only[at]
	m.Ref, m.Context = want.Ref, want.Context
	if want.Slots > 0 {
		m.Slots = want.Slots
	}
	if want.VRAMBytes > 0 {
		m.VRAMBytes = want.VRAMBytes
	}
	return m, true
}

// layers sums what of a model is loaded; false when the file is no manifest of one.
func layers(path string) (int64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	text, err := readAtMost(f, maxManifest)
	var manifest struct {
		Layers []struct {
			MediaType string `json:"mediaType"`
			Size      int64  `json:"size"`
		} `json:"layers"`
	}
	if err != nil || json.Unmarshal(text, &manifest) != nil {
		return 0, false
	}
	var size int64
	for _, l := range manifest.Layers {
		switch kind, _ := strings.CutPrefix(l.MediaType, "application/vnd.ollama.image."); kind {
		case "model", "projector", "adapter":
			size += max(0, l.Size)
		}
	}
	return size, size > 0
}

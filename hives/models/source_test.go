package models

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"queen-rbee/hives"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"hf:org/repo/file.gguf":                            "file.gguf",
		"hf:org/repo/sub dir/q4 (1)/file.gguf@v1.0":        "file.gguf",
		"hf:org/repo/m-00002-of-00003.gguf":                "m-00001-of-00003.gguf m-00002-of-00003.gguf m-00003-of-00003.gguf",
		"https://host/a/b%20c.gguf?sig=x":                  "b_c.gguf",
		"HTTPS://host:8443/a/m-00001-of-00002.gguf":        "m-00001-of-00002.gguf m-00002-of-00002.gguf",
		"https://host/a/CON":                               "_CON_",
		"https://host/nul.gguf":                            "_nul.gguf_",
		"https://host/model.json":                          "_model.json_",
		"https://host/x.part":                              "_x.part_",
		"https://host/a%2F..%2F..%2Fetc%2Fpasswd":          "_.._.._etc_passwd",
		"https://host/ends.in.dots..":                      "ends.in.dots",
		"https://host/" + strings.Repeat("l", 300) + ".gg": strings.Repeat("l", 197) + ".gg",
		"https://host/%E4%BD%A0.gguf":                      "_.gguf",
		"file:/models/x.gguf":                              "x.gguf",
		"file:///models/x.gguf":                            "x.gguf",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := strings.Join(s.names(), " "); got != want && !(strings.Contains(text, "%2F") && !strings.ContainsAny(got, "/\\")) {
			t.Errorf("%s: names %s, want %s", text, got, want)
		}
		if !keyPattern.MatchString(s.Key()) {
			t.Errorf("%s: key %q", text, s.Key())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, words := range map[string]string{
		"":                                  "hf:org/repo/file.gguf",
		"qwen":                              "of no kind",
		"ftp://host/x":                      "of no kind",
		"hf:org/repo":                       "names no file",
		"hf:org/../file.gguf":               "cannot stand in a path",
		"hf:org/repo/../../x.gguf":          "cannot stand in a path",
		"hf:org/repo/. ./x.gguf":            "cannot stand in a path",
		"hf:org/repo//x.gguf":               "cannot stand in a path",
		"hf:org/repo/x.gguf@../../main":     "no revision",
		"hf:org/repo/x.gguf@":               "no revision",
		`hf:org/repo/..\x.gguf`:             "backslash",
		"hf:org/repo/x\n.gguf":              "control character",
		"hf:org/repo/m-00004-of-00003.gguf": "part 4 of 3",
		"hf:org/repo/m-00000-of-00003.gguf": "part 0 of 3",
		"hf:org/repo/m-00001-of-99999.gguf": "at most 512",
		"https://":                          "not a URL",
		"https://user:pass@host/x":          "user name or password",
		"https://host/":                     "names no file",
		"https://host/m-00001-of-00002.gguf?X-Amz-Signature=s": "presigned",
		"file:models/x.gguf":                        "absolute path",
		"file:/models/../etc/x":                     "absolute path",
		"https://host/" + strings.Repeat("a", 5000): "longer than",
	} {
		_, err := Parse(text)
		if hives.CodeOf(err) != hives.CodeInvalid || !strings.Contains(err.Error(), words) {
			t.Errorf("%.80s: %v, want %q", text, err, words)
		}
	}
}

func TestKeys(t *testing.T) {
	key := func(s string) string { return keyOf(t, s) }
	if key("https://h/x?id=1&X-Amz-Signature=a") != key("https://h/x?id=1&X-Amz-Signature=b") {
		t.Error("a signature makes another model")
	}
	if key("https://h/x?id=1") == key("https://h/x?id=2") {
		t.Error("what is asked for does not count")
	}
	if key("hf:o/r/x.gguf") == key("hf:o/r/x.gguf@v2") || key("hf:o/r/x.gguf") == key("hf:o/R/x.gguf") {
		t.Error("another revision or repository is the same model")
	}
}

// Whatever a source says, its files have plain names, one each, and one key.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"hf:a/b/c.gguf@main", "https://h/x%2f..%2Fy?sig=1", "file:///a/b", "hf:a/b/m-00001-of-00003.gguf"} {
		f.Add(s)
	}
	plain := regexp.MustCompile(`^[A-Za-z0-9._+=-]{1,202}$`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if hives.CodeOf(err) == "" {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		names := s.names()
		for _, n := range names {
			if !plain.MatchString(n) || n == "." || n == ".." || !filepath.IsLocal(n) || reserved.MatchString(n) || n != fileName(n) {
				t.Errorf("name %q", n)
			}
		}
		slices.Sort(names)
		if len(slices.Compact(names)) != len(s.names()) {
			t.Errorf("%q are not different", s.names())
		}
	})
}

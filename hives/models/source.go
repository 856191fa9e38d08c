package models

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"queen-rbee/hives"
)

// kind is how a source is spoken to.
type kind int

const (
	fromHub  kind = iota // hf:org/repo/path/file.gguf[@revision]
	fromWeb              // https: or http:
	fromDisk             // file: on this hive, used in place
)

// Bounds of a source.
const (
	maxSource = 4096 // bytes; presigned URLs are long
	maxSplit  = 512  // parts of a split model
	maxName   = 200  // bytes of a file name
)

// Source is where a model comes from. Make it with Parse; it is not changed after that.
type Source struct {
	kind     kind
	shown    string // as given, without what a presigned URL keeps secret
	key      string
	repo     string   // hub: org/repo
	revision string   // hub
	address  *url.URL // web: of its first file
	files    []string // hub: paths in the repository; web: escaped last elements; disk: absolute paths
}

var (
	segment  = regexp.MustCompile(`^[A-Za-z0-9._=+~-][A-Za-z0-9._=+~ ()-]{0,199}$`)
	revision = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$`)
	split    = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)
)

func badSource(text, format string, args ...any) error {
	return hives.Errorf(hives.CodeInvalid, "source %.100q: %s", redact(text), fmt.Sprintf(format, args...))
}

// Parse reads a source. It opens nothing.
func Parse(text string) (Source, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch {
	case len(text) > maxSource:
		return Source{}, badSource(text, "is longer than %d bytes", maxSource)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return Source{}, badSource(text, "holds a control character or a backslash")
	}
	var s Source
	var err error
	canonical := text
	switch strings.ToLower(scheme) {
	case "hf":
		s, err = parseHub(text, rest)
		canonical = "hf:" + rest
	case "https", "http":
		s, err = parseWeb(text)
		if err == nil {
			canonical = withoutSignature(s.address)
		}
	case "file":
		s, err = parseDisk(text, rest)
		if err == nil {
			canonical = "file:" + s.files[0]
		}
	default:
		return Source{}, badSource(text, "is of no kind that is known: use hf:org/repo/file.gguf[@revision], https://host/file.gguf or file:/path/file.gguf")
	}
	if err != nil {
		return Source{}, err
	}
	s.shown = redact(text)
	s.key = fmt.Sprintf("%x", sha256.Sum256([]byte(canonical)))[:32]
	return s, nil
}

// Key names the model on disk: 32 hex digits, made from the source alone.
func (s Source) Key() string { return s.key }

// String is the source as given, without signatures of a presigned URL.
func (s Source) String() string { return s.shown }

func parseHub(text, rest string) (Source, error) {
	s := Source{kind: fromHub, revision: "main"}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest, s.revision = rest[:at], rest[at+1:]
		if !revision.MatchString(s.revision) || !cleanPath(s.revision) {
			return s, badSource(text, "%.40q is no revision: use a branch, a tag or a commit", s.revision)
		}
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 3 {
		return s, badSource(text, "names no file: use hf:org/repo/file.gguf")
	}
	for _, p := range parts {
		if !segment.MatchString(p) || !cleanPath(p) {
			return s, badSource(text, "%.40q cannot stand in a path: use letters, digits and . _ - = + ~", p)
		}
	}
	s.repo = parts[0] + "/" + parts[1]
	files, err := splitFiles(text, strings.Join(parts[2:], "/"))
	s.files = files
	return s, err
}

func parseWeb(text string) (Source, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return Source{}, badSource(text, "is not a URL: use https://host/path/file.gguf")
	case u.User != nil:
		return Source{}, badSource(text, "holds a user name or password: use a presigned URL, which names none")
	case path.Base(u.Path) == "/" || path.Base(u.Path) == "." || strings.HasSuffix(u.Path, "/"):
		return Source{}, badSource(text, "names no file")
	}
	u.Scheme, u.Fragment, u.RawFragment = strings.ToLower(u.Scheme), "", ""
	s := Source{kind: fromWeb, address: u}
	last := path.Base(u.EscapedPath())
	if u.RawQuery != "" && split.MatchString(last) {
		return s, badSource(text, "is one part of a split model under a presigned URL, whose other parts are signed otherwise: join them with llama-gguf-split --merge, or use a source without a query")
	}
	s.files, err = splitFiles(text, last)
	return s, err
}

func parseDisk(text, rest string) (Source, error) {
	p := strings.TrimPrefix(rest, "//") // file:///path
	if !filepath.IsAbs(p) || !cleanPath(strings.Trim(p, "/")) {
		return Source{}, badSource(text, "use an absolute path without . and .., such as file:/models/file.gguf")
	}
	p = filepath.Clean(p)
	files, err := splitFiles(text, filepath.Base(p))
	for i := range files {
		files[i] = filepath.Join(filepath.Dir(p), files[i])
	}
	return Source{kind: fromDisk, files: files}, err
}

// cleanPath tells that no element of a path stands for another than its name says.
func cleanPath(p string) bool {
	return !slices.ContainsFunc(strings.Split(p, "/"), func(e string) bool { return strings.Trim(e, ". ") == "" })
}

// splitFiles are all parts of a model, when name is that of one part; else name alone.
func splitFiles(text, name string) ([]string, error) {
	m := split.FindStringSubmatch(name)
	if m == nil {
		return []string{name}, nil
	}
	nth, _ := strconv.Atoi(m[2]) // five digits each
	count, _ := strconv.Atoi(m[3])
	if nth < 1 || nth > count || count > maxSplit {
		return nil, badSource(text, "is part %d of %d: use parts 1 to n, of at most %d", nth, count, maxSplit)
	}
	out := make([]string, count)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%05d-of-%05d.gguf", m[1], i+1, count)
	}
	return out, nil
}

// names are those of the model's files on disk, in order. They are made from the source's, of
// letters that mean nothing to any file system.
func (s Source) names() []string {
	out := make([]string, len(s.files))
	for i, f := range s.files {
		out[i] = fileName(path.Base(f))
	}
	return out
}

// reserved are the names that Windows gives to devices, with any ending.
var reserved = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9]|model\.json)($|\.)`)

func fileName(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		s = plain
	}
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '.' || r == '_' || r == '-' || r == '+' || r == '=' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return r
		}
		return '_'
	}, s)
	if len(s) > maxName { // the end tells what it is
		s = s[len(s)-maxName:]
	}
	s = strings.Trim(s, ".")
	if s == "" || reserved.MatchString(s) || strings.HasSuffix(s, ".part") || strings.HasSuffix(s, ".part.json") {
		s = "_" + s + "_"
	}
	return s
}

// secret are the query parameters of presigned URLs: they change with each signing, and whoever
// reads them may use them.
var secret = regexp.MustCompile(`(?i)^(x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id|s[vsptrei]|srt|spr|sig|sip|ses|sdd|sk(oid|tid|t|e|s|v)|saoid|suoid|scid|token|access_token|key|api_key)$`)

// withoutSignature is what stays the same of a URL when it is signed again.
func withoutSignature(u *url.URL) string {
	plain := *u
	plain.Host = strings.ToLower(u.Host)
	q := u.Query()
	for name := range q {
		if secret.MatchString(name) {
			q.Del(name)
		}
	}
	plain.RawQuery = q.Encode()
	return plain.String()
}

// redact leaves out the query of a URL.
func redact(text string) string {
	if before, _, cut := strings.Cut(text, "?"); cut {
		return before + "?…"
	}
	return text
}

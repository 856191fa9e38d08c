package models

import (
	"context"
	"net/url"
	"path"
	"strings"
)

// place is where one file can be read from.
type place struct {
	name  string // for people
	peer  bool
	web   *web
	where *url.URL
	sure  string // a digest that what is there has by its address
	hub   *hubFile
}

// hubFile is a file in a repository. The commit that its branch stands for is kept from the
// first answer on, so that all that comes is of one commit.
type hubFile struct {
	endpoint   *url.URL
	repo, path string
	pin        *pin
}

// pin is the revision that all files of one download are asked for. Only its own download
// changes it, before parts are asked for.
type pin struct{ revision string }

func (h *hubFile) address() *url.URL {
	parts := strings.Split(h.endpoint.Path+"/"+h.repo+"/resolve/"+h.pin.revision+"/"+h.path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	u := *h.endpoint
	u.Path, u.RawPath = path.Clean(h.endpoint.Path+"/"+h.repo+"/resolve/"+h.pin.revision+"/"+h.path), path.Clean(strings.Join(parts, "/"))
	return &u
}

// get asks for the bytes [from, to).
func (p *place) get(ctx context.Context, from, to int64) (*answer, error) {
	where := p.where
	if p.hub != nil {
		where = p.hub.address()
	}
	a, err := p.web.get(ctx, where, from, to)
	if err != nil {
		return nil, err
	}
	switch {
	case p.sure != "":
		a.is.SHA256 = p.sure
	case p.hub == nil: // only a hub is believed
		a.is.SHA256 = ""
	}
	return a, nil
}

// look asks what there is. The first byte is asked for, since presigned URLs allow no HEAD.
func (p *place) look(ctx context.Context) (identity, error) {
	a, err := p.get(ctx, 0, 1)
	if err != nil {
		return identity{}, err
	}
	_ = a.body.Close()
	if p.hub != nil && a.commit != "" {
		p.hub.pin.revision = a.commit
	}
	return a.is, nil
}

// places are where the n-th file of a source is: at peers, when its digest is known, then at
// the source.
func (s *Store) places(src Source, n int, sha256 string, peers []string, at *pin) []*place {
	var out []*place
	if sha256 != "" {
		for _, base := range peers {
			if p := s.peer(base, sha256); p != nil {
				out = append(out, p)
			}
		}
	}
	if src.kind == fromHub {
		return append(out, &place{name: src.String(), web: s.hub,
			hub: &hubFile{endpoint: s.endpoint, repo: src.repo, path: src.files[n], pin: at}})
	}
	u := *src.address
	escaped := strings.TrimSuffix(u.EscapedPath(), path.Base(u.EscapedPath())) + src.files[n]
	u.RawPath = escaped
	u.Path, _ = url.PathUnescape(escaped) // it was part of a URL
	return append(out, &place{name: src.String(), web: s.hub, where: &u})
}

// peer is a blob at another hive; nil for what is no URL.
func (s *Store) peer(base, sha256 string) *place {
	u, err := url.Parse(strings.TrimRight(base, "/") + "/v1/models/blob/" + sha256)
	if err != nil || u.Host == "" || u.User != nil {
		return nil
	}
	own := *s.peers
	own.trusted = origin(u)
	return &place{name: base, peer: true, web: &own, where: u, sure: sha256}
}

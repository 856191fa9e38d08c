package httpapi

import (
	"cmp"
	"crypto/sha256"
	"strings"

	"queen-rbee/fsm"
)

// defaultTenant owns what keys without a tenant make: the first admin key is one.
const defaultTenant = "default"

// identify finds out who calls and whether he may. Keys are known by their hash only.
func (s *Server) identify(a access, r *request) error {
	if a == public {
		return nil
	}
	secret := secretOf(r)
	if secret == "" {
		return fsm.Errorf(fsm.CodeUnauthenticated, "Authorization: send \"Bearer KEY\"")
	}
	isHive, isQueen := s.queen.AuthorizeHive(secret), s.queen.AuthorizeQueen(secret)
	if !s.queen.Status().Ready {
		return fsm.Errorf(fsm.CodeReplicaBehind, "this queen is starting and knows no keys yet; ask again")
	}
	if (a == ofHive && !isHive) || (a == ofQueen && !isQueen) {
		s.log.Warn("wrong token refused", "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path)
	}
	switch a {
	case ofHive:
		return tokenError(isHive, isQueen, "the hive token")
	case ofQueen:
		return tokenError(isQueen, isHive, "the cluster token")
	case userOrHive:
		if isHive {
			r.admin = true
			return nil
		}
	}
	if isHive || isQueen {
		return fsm.Errorf(fsm.CodeForbidden, "Authorization: a token that joins is not an API key; rbee-keeper's --api-key names one")
	}
	key, ok := s.queen.View().Key(sha256.Sum256([]byte(secret)))
	if !ok {
		return fsm.Errorf(fsm.CodeUnauthenticated, "Authorization: this queen knows no such API key")
	}
	r.tenant, r.admin = cmp.Or(key.Tenant, defaultTenant), key.Role == fsm.KeyAdmin
	if a == admin && !r.admin {
		return fsm.Errorf(fsm.CodeForbidden, "Authorization: this needs an admin key")
	}
	return nil
}

// secretOf is the key or token that a request brings, empty for none. Under /v1 it may be where
// Anthropic's clients put it.
func secretOf(r *request) string {
	if r.Header.Get("Authorization") == "" && strings.HasPrefix(r.URL.Path, "/v1/") {
		return strings.TrimSpace(r.Header.Get("X-Api-Key"))
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

func tokenError(right, other bool, want string) error {
	switch {
	case right:
		return nil
	case other:
		return fsm.Errorf(fsm.CodeForbidden, "Authorization: this token joins something else; %s is needed", want)
	default:
		return fsm.Errorf(fsm.CodeUnauthenticated, "Authorization: wrong token; %s is needed (rbee-keeper queens token prints it)", want)
	}
}

package cluster

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
)

// minToken is the least length of a cluster token.
const minToken = 16

// MintToken makes a cluster token.
func MintToken() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return "rbee-" + base32.StdEncoding.EncodeToString(b[:])
}

// HiveToken derives the token hives register with. It cannot be turned back, so a hive
// cannot join queens.
func HiveToken(clusterToken string) string {
	return "rbeehive-" + hex.EncodeToString(derive(clusterToken, "hive")[:20])
}

// derive makes a key for one purpose out of the cluster token.
func derive(token, purpose string) []byte {
	m := hmac.New(sha256.New, []byte(token))
	m.Write([]byte("queen-rbee " + purpose))
	return m.Sum(nil)
}

// tokens is a cluster token and what is made of it: every request is compared with both.
type tokens struct {
	queen, hive       string
	queenSum, hiveSum tokenSum
}

func newTokens(queen string) *tokens {
	hive := HiveToken(queen)
	return &tokens{queen: queen, hive: hive, queenSum: sha256.Sum256([]byte(queen)), hiveSum: sha256.Sum256([]byte(hive))}
}

// tokenSum is a token's hash.
type tokenSum [sha256.Size]byte

// of tells whether a token is the one, and no more: not where they differ.
func (s tokenSum) of(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return token != "" && subtle.ConstantTimeCompare(sum[:], s[:]) == 1
}

// sameToken compares without telling where two tokens differ.
func sameToken(a, b string) bool {
	return a != "" && hmac.Equal(derive(a, "compare"), derive(b, "compare"))
}

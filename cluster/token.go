package cluster

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
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

// sameToken compares without telling where two tokens differ.
func sameToken(a, b string) bool {
	return a != "" && hmac.Equal(derive(a, "compare"), derive(b, "compare"))
}

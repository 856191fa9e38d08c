package cluster

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// Every connection between queens begins so; nothing of it is larger than 256 bytes:
//
//	dialer    "RBEE" 1, purpose, 32 random bytes, name, cluster id (each with its length)
//	listener  32 random bytes, name, cluster id, proof
//	dialer    proof
//	listener  verdict
//
// A proof is an HMAC of both hellos by a key derived from the cluster token, so that both
// know the other has the token and neither sends it.

// purpose is what a connection is for.
type purpose byte

const (
	forRaft  purpose = 'R'
	forCalls purpose = 'C'
)

const (
	magic            = "RBEE\x01"
	handshakeTimeout = 3 * time.Second
	verdictOK        = 0
	verdictToken     = 1
	verdictCluster   = 2
	verdictOutlived  = 3
)

// errWrongToken, errOtherCluster and errOutlived are what a handshake can find.
var (
	errWrongToken   = errors.New("it has another cluster token")
	errOtherCluster = errors.New("it belongs to another cluster")
	errOutlived     = errors.New("its cluster was recovered from ours, without this queen")
)

// hello is how a queen presents itself.
type hello struct {
	name    string
	cluster string // empty while unknown
}

func (h hello) write(b *bytes.Buffer) {
	var nonce [32]byte
	_, _ = rand.Read(nonce[:]) // never fails
	b.Write(nonce[:])
	for _, s := range []string{h.name, h.cluster} {
		s = s[:min(len(s), 64)]
		b.WriteByte(byte(len(s)))
		b.WriteString(s)
	}
}

// readHello reads what write wrote, and keeps the bytes for the proofs.
func readHello(r io.Reader, raw *bytes.Buffer) (hello, error) {
	var h hello
	if _, err := io.CopyN(raw, r, 32); err != nil {
		return h, err
	}
	for _, s := range []*string{&h.name, &h.cluster} {
		var n [1]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return h, err
		}
		if n[0] > 64 {
			return h, errors.New("a name of more than 64 bytes")
		}
		text := make([]byte, n[0])
		if _, err := io.ReadFull(r, text); err != nil {
			return h, err
		}
		raw.Write(n[:])
		raw.Write(text)
		*s = string(text)
	}
	return h, nil
}

func proof(key []byte, side string, dialer, listener []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(side))
	m.Write(dialer)
	m.Write(listener)
	return m.Sum(nil)
}

// greet is the dialer's side. It returns who answered, as far as that is known.
func greet(c net.Conn, key []byte, me hello, p purpose) (hello, error) {
	_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
	var mine, theirs bytes.Buffer
	mine.WriteString(magic)
	mine.WriteByte(byte(p))
	me.write(&mine)
	if _, err := c.Write(mine.Bytes()); err != nil {
		return hello{}, err
	}
	peer, err := readHello(c, &theirs)
	if err != nil {
		return peer, fmt.Errorf("it does not answer as a queen: %w", err)
	}
	var got [sha256.Size]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return peer, err
	}
	// The own proof goes out even when theirs is wrong, so that both sides can log why.
	if _, err := c.Write(proof(key, "dialer", mine.Bytes(), theirs.Bytes())); err != nil {
		return peer, err
	}
	var verdict [1]byte
	_, err = io.ReadFull(c, verdict[:])
	if !hmac.Equal(got[:], proof(key, "listener", mine.Bytes(), theirs.Bytes())) {
		return peer, errWrongToken
	}
	switch {
	case err != nil:
		return peer, err
	case verdict[0] == verdictToken:
		return peer, errWrongToken
	case verdict[0] == verdictCluster:
		return peer, errOtherCluster
	case verdict[0] == verdictOutlived:
		return peer, errOutlived
	}
	return peer, c.SetDeadline(time.Time{})
}

// receive is the listener's side. formerly are the clusters that its own was recovered from.
func receive(c net.Conn, key []byte, me hello, formerly []string) (purpose, hello, error) {
	_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
	var mine, theirs bytes.Buffer
	var head [len(magic) + 1]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, hello{}, err
	}
	if string(head[:len(magic)]) != magic {
		return 0, hello{}, errors.New("it does not speak as a queen")
	}
	theirs.Write(head[:])
	peer, err := readHello(c, &theirs)
	if err != nil {
		return 0, peer, err
	}
	me.write(&mine)
	if _, err := c.Write(append(mine.Bytes(), proof(key, "listener", theirs.Bytes(), mine.Bytes())...)); err != nil {
		return 0, peer, err
	}
	var got [sha256.Size]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return 0, peer, err
	}
	verdict, why := byte(verdictOK), error(nil)
	switch {
	case !hmac.Equal(got[:], proof(key, "dialer", theirs.Bytes(), mine.Bytes())):
		verdict, why = verdictToken, errWrongToken
	case slices.Contains(formerly, peer.cluster):
		verdict, why = verdictOutlived, errOtherCluster
	case me.cluster != "" && peer.cluster != "" && me.cluster != peer.cluster:
		verdict, why = verdictCluster, errOtherCluster
	}
	if _, err := c.Write([]byte{verdict}); why == nil {
		why = err
	}
	if why == nil {
		why = c.SetDeadline(time.Time{})
	}
	return purpose(head[len(magic)]), peer, why
}

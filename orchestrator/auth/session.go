package auth

import (
	"context"
	"crypto/sha256"
)

// keyPrefix is the prefix of the half of a session secret that the page keeps.
const keyPrefix = "uwsk_"

// SessionSecret authenticates a session. It has two halves, because browsers send cookies to every port of a host. The
// cookie alone does not authenticate.
type SessionSecret struct {
	Cookie string // stored as a cookie by the browser
	Key    string // stored by the pages of one origin, which includes the port
}

func newSessionSecret() (s SessionSecret, hash []byte) {
	s.Cookie, _ = newSecret(sessionPrefix)
	s.Key, _ = newSecret(keyPrefix)
	sum := s.hash()
	return s, sum[:]
}

// hash returns the hash of both halves. They are joined by a space, so the hash differs from that of any token, and of
// any session created by a version of uws without keys.
func (s SessionSecret) hash() [sha256.Size]byte {
	return sha256.Sum256([]byte(s.Cookie + " " + s.Key))
}

// AuthenticateSession returns the principal of a session. It fails with RATE_LIMITED after too many failures from one
// address.
func (au *Authenticator) AuthenticateSession(ctx context.Context, s SessionSecret, address string, channel Channel) (*Principal, error) {
	return au.authenticate(ctx, s.hash(), true, address, channel)
}

// Authenticate returns the principal of a token. It fails with RATE_LIMITED after too many failures from one address.
func (au *Authenticator) Authenticate(ctx context.Context, token, address string, channel Channel) (*Principal, error) {
	return au.authenticate(ctx, sha256.Sum256([]byte(token)), false, address, channel)
}

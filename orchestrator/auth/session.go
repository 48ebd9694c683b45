package auth

import (
	"context"
	"crypto/sha256"
)

// keyPrefix begins the half of a session's secret that its page keeps.
const keyPrefix = "uwsk_"

// SessionSecret authenticates a session. It has two halves, because a browser sends cookies to every port of a host: the
// cookie alone authenticates nobody.
type SessionSecret struct {
	Cookie string // kept by the browser
	Key    string // kept by the pages of one origin, which includes the port
}

func newSessionSecret() (s SessionSecret, hash []byte) {
	s.Cookie, _ = newSecret(sessionPrefix)
	s.Key, _ = newSecret(keyPrefix)
	sum := s.hash()
	return s, sum[:]
}

// hash differs from that of any string without a space: no token is a session, and no session from before there were keys
// can be used.
func (s SessionSecret) hash() [sha256.Size]byte {
	return sha256.Sum256([]byte(s.Cookie + " " + s.Key))
}

// AuthenticateSession returns the principal of a session. Too many failures from one address are RateLimited.
func (au *Authenticator) AuthenticateSession(ctx context.Context, s SessionSecret, address string, door Door) (*Principal, error) {
	return au.authenticate(ctx, s.hash(), true, address, door)
}

// Authenticate returns the principal of a token. Too many failures from one address are RateLimited.
func (au *Authenticator) Authenticate(ctx context.Context, token, address string, door Door) (*Principal, error) {
	return au.authenticate(ctx, sha256.Sum256([]byte(token)), false, address, door)
}

package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// config returns the settings of a client of host.
// Errors: [driver.Invalid], with the field. They do not quote keys.
func (t TLS) config(host string) (*tls.Config, error) {
	cas, err := parseCA(t.CA)
	if err != nil {
		return nil, err
	}
	if err := expectPEM("tls.certificate", "CERTIFICATE", t.Certificate); err != nil {
		return nil, err
	}
	if err := expectPEM("tls.key", "PRIVATE KEY", string(t.Key)); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key))
	if err != nil {
		if _, err := x509.ParseCertificate(firstBlock(t.Certificate)); err != nil {
			return nil, invalid("tls.certificate", "is no certificate: %w", err)
		}
		return nil, invalid("tls.key", "must be the private key of tls.certificate, in PEM and without a passphrase")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: cas, Certificates: []tls.Certificate{pair}, ServerName: host,
	}, nil
}

func parseCA(text string) (*x509.CertPool, error) {
	if err := expectPEM("tls.ca", "CERTIFICATE", text); err != nil {
		return nil, err
	}
	pool, rest := x509.NewCertPool(), []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return pool, nil
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		switch {
		case block.Type != "CERTIFICATE":
			return nil, invalid("tls.ca", "must hold certificates only, not a %s", printable(block.Type))
		case err != nil:
			return nil, invalid("tls.ca", "is no certificate: %w", err)
		}
		pool.AddCert(ca)
	}
}

// expectPEM refuses a text that does not begin with a PEM block whose type ends with kind.
func expectPEM(field, kind, text string) error {
	block, _ := pem.Decode([]byte(text))
	switch {
	case text == "":
		return invalid(field, "is missing: a tcp:// endpoint needs tls.ca, tls.certificate and tls.key, each in PEM")
	case block == nil:
		return invalid(field, "must be PEM: lines from -----BEGIN … to -----END …")
	case len(block.Type) < len(kind) || block.Type[len(block.Type)-len(kind):] != kind:
		return invalid(field, "must be a %s, not a %s", kind, printable(block.Type))
	}
	return nil
}

func firstBlock(text string) []byte {
	block, _ := pem.Decode([]byte(text))
	return block.Bytes
}

// tlsDialer dials with TLS. It classifies its errors.
type tlsDialer struct {
	dialer
	config *tls.Config
}

func (d tlsDialer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours := d.config.Certificates[0].Leaf
	if text := outOfTime(ours, time.Now()); text != "" {
		return nil, driver.FieldError(driver.Unreachable, "tls.certificate", "the certificate that uws shows to the engine %s; give another", text)
	}
	raw, err := d.dialer.dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := tls.Client(raw, d.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, explainHandshake(err, d.address)
	}
	return conn, nil
}

// outOfTime returns why a certificate is not valid at now; empty if it is.
func outOfTime(c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "expired on " + date(c.NotAfter)
	case now.Before(c.NotBefore):
		return "is not valid before " + date(c.NotBefore) + ", by this machine's clock"
	}
	return ""
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

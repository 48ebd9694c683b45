package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Explain returns a [driver.Error] of class Unreachable for an error of the client about the connection. If err wraps a
// [driver.Error], it returns that. It returns the engine's answers and the error of a cancelled context unchanged.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	if classified, ok := errors.AsType[*driver.Error](err); ok {
		return classified
	}
	text := err.Error()
	remote, isRemote := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return unreachable("endpoint", err, "the engine did not answer in time")
	case errors.Is(err, client.ErrRedirect):
		return unreachable("endpoint", err, notAnEngine)
	case isRemote && remote.Op == "remote error":
		return refusedUs(remote)
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "readLoopPeekFail"):
		return unreachable("endpoint", err, "what answers there does not speak HTTP; if it is an engine with TLS, give tls.ca, tls.certificate and tls.key")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), strings.Contains(text, "server closed idle connection"):
		return unreachable("endpoint", err, "the connection to the engine broke")
	case client.IsErrConnectionFailed(err):
		return driver.FieldError(driver.Unreachable, "endpoint", "the engine does not answer: %w", err)
	}
	return err
}

const notAnEngine = "something answers HTTP there, but it is not a Docker Engine"

// explainPing is Explain for a ping, where an unexpected answer means that no engine answers.
func explainPing(err error) error {
	explained := Explain(err)
	if _, ok := errors.AsType[*driver.Error](explained); ok || errors.Is(err, context.Canceled) {
		return explained
	}
	switch {
	case strings.Contains(err.Error(), "HTTP request to an HTTPS server"):
		return unreachable("tls", err, "the engine wants TLS there: give tls.ca, tls.certificate and tls.key")
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return unreachable("endpoint", err, "something answers HTTP there, but refuses to let uws ask; is it a proxy before the engine?")
	default:
		return unreachable("endpoint", err, notAnEngine)
	}
}

// explained is an error with a text for users. Its cause can be unwrapped, but is not in the text.
type explained struct {
	text  string
	cause error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.cause }

func unreachable(field string, cause error, format string, args ...any) error {
	return &driver.Error{Class: driver.Unreachable, Field: field, Err: explained{fmt.Sprintf(format, args...), cause}}
}

// dialer dials one address. It classifies its errors, because the client drops the causes of some of them.
type dialer struct{ network, address string }

func (d dialer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	keepAlive := net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}
	conn, err := (&net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}).DialContext(ctx, d.network, d.address)
	if err != nil {
		return nil, d.explain(err)
	}
	return conn, nil
}

func (d dialer) explain(err error) error {
	unknown, isName := errors.AsType[*net.DNSError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	say := func(format string, args ...any) error { return unreachable("endpoint", err, format, args...) }
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case isName && unknown.IsNotFound:
		return say("the host name %s is unknown", unknown.Name)
	case isName:
		return say("the host name %s could not be looked up: the name server does not answer", unknown.Name)
	case d.network == "unix" && errors.Is(err, syscall.ENOENT):
		return say("there is no socket %s: is Docker installed there, and running?", d.address)
	case d.network == "unix" && (errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM)):
		return say("uws is not allowed to use the socket %s: let its user be in the group docker (usermod -aG docker USER, and sign in again)", d.address)
	case d.network == "unix" && errors.Is(err, syscall.ECONNREFUSED):
		return say("nothing listens at the socket %s: is Docker running?", d.address)
	case errors.Is(err, syscall.ECONNREFUSED):
		return say("%s refused the connection: nothing listens on that port, or a firewall is in between", d.address)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return say("there is no route to %s", d.address)
	case isTimeout && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return say("%s did not answer within %s: it is off, or a firewall drops what is sent to it", d.address, dialTimeout)
	case errors.Is(err, syscall.ECONNRESET):
		return say("%s broke the connection", d.address)
	}
	return driver.FieldError(driver.Unreachable, "endpoint", "%s cannot be reached: %w", d.address, err)
}

// explainHandshake classifies an error of the TLS handshake with the engine at address.
func explainHandshake(err error, address string) error {
	say := func(field, format string, args ...any) error { return unreachable(field, err, format, args...) }
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if text := outOfTime(e.Cert, time.Now()); e.Reason == x509.Expired && text != "" {
			return say("endpoint", "the certificate of the engine at %s %s", address, text)
		}
		return say("endpoint", "the certificate of the engine at %s is not valid: %v", address, e)
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		issuer := ""
		if e.Cert != nil {
			issuer = fmt.Sprintf("; it was issued by %q", printable(e.Cert.Issuer.String()))
		}
		return say("tls.ca", "the certificate of the engine at %s was not signed by the CA that was given%s", address, issuer)
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return say("endpoint", "the certificate of the engine is not for %s; it is for %s", e.Host, namesOf(e.Certificate))
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if string(e.RecordHeader[:4]) == "HTTP" {
			return say("tls", "%s answers in plain HTTP: the engine listens there without TLS; let it listen with --tlsverify", address)
		}
		return say("endpoint", "what answers at %s does not speak TLS", address)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return refusedUs(e)
	}
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), isTimeout && timeout.Timeout():
		return say("endpoint", "%s accepts connections, but did not answer the offer of TLS within %s", address, handshakeTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return say("endpoint", "%s broke the connection when TLS was offered", address)
	}
	return driver.FieldError(driver.Unreachable, "endpoint", "TLS with %s failed: %w", address, err)
}

// refusedUs classifies a TLS alert of the engine, about the client's certificate or about the protocol. With TLS 1.3 it comes
// only when the connection is used.
func refusedUs(alert *net.OpError) error {
	text := alert.Err.Error()
	if strings.Contains(text, "certificate") || strings.Contains(text, "access denied") || strings.Contains(text, "handshake failure") {
		return unreachable("tls.certificate", alert, "the engine refuses the certificate that uws shows (%s): it must be signed by the CA that the engine was given as --tlscacert",
			strings.TrimPrefix(text, "tls: "))
	}
	return driver.FieldError(driver.Unreachable, "endpoint", "the engine ended TLS: %w", alert.Err)
}

func namesOf(c *x509.Certificate) string {
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all; names must be in its subjectAltName"
	}
	if len(names) > 8 {
		names = append(names[:8], "…")
	}
	return printable(strings.Join(names, ", "))
}

package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server"
)

// writeCertificate creates a self-signed certificate with the given serial number.
func writeCertificate(t *testing.T, files server.TLSFiles, number int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		files.Certificate: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func trusting(certificates ...*x509.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return &tls.Config{RootCAs: pool}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files := server.TLSFiles{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	first := writeCertificate(t, files, 1)
	api := newFake()
	opts := options(api)
	opts.Access, opts.TLS = newAuth(t, auth.Options{}), &files
	token := tokenOf(t, opts.Access, auth.Viewer)
	url, stop := run(t, opts)
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("it is at %s", url)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting(first), ForceAttemptHTTP2: true}}
	response := postJSON(t, client, url+"/auth/sign-in", `{"secret":"`+token+`"}`)
	if cookies := response.Cookies(); response.StatusCode != http.StatusOK || len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("got %s, %v: the cookie must be for TLS only", response.Status, cookies)
	}
	if response, err := http.Get(strings.Replace(url, "https", "http", 1) + "/healthz"); err == nil && response.StatusCode == http.StatusOK {
		t.Error("it answers without TLS")
	}

	// Subscriptions work over TLS, also with many messages at once.
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, TLSClientConfig: trusting(first)}
	ws, _, err := dialer.Dial("wss"+strings.TrimPrefix(url, "https")+"/graphql", http.Header{"Origin": {url}, "Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	s := &socket{ws, t}
	s.say(`{"type":"connection_init"}`)
	s.expect("", "connection_ack", "")
	s.subscribe("x", changes)
	api.begun(t, 1)
	go func() {
		for i := range 500 {
			api.feed <- serviceEvent(int64(i+1), "s1", "BUCKET")
		}
	}()
	for range 500 {
		s.expect("x", "next", "")
	}
	if _, _, err := dialer.Dial("wss"+strings.TrimPrefix(url, "https")+"/graphql", http.Header{"Origin": {strings.Replace(url, "https", "http", 1)}}); err == nil {
		t.Error("a page without TLS could connect")
	}

	// New connections get a renewed certificate. An invalid one is not used.
	shown := func() int64 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	writeCertificate(t, files, 2)
	until(t, "the renewed certificate is shown", func() bool { return shown() == 2 })
	if err := os.WriteFile(files.Key, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(1500*time.Millisecond, func() { writeCertificate(t, files, 3) })
	until(t, "the next one is shown, and the last good one until then", func() bool { n := shown(); return n == 3 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	opts.Registry = nil
	opts.TLS = &server.TLSFiles{Certificate: dir + "/none", Key: files.Key}
	if _, err := server.New(opts); err == nil || !strings.Contains(err.Error(), dir+"/none") {
		t.Errorf("a certificate that is missing: %v", err)
	}
}

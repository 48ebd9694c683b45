package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles names PEM files: a certificate followed by its chain, and its key.
type TLSFiles struct{ Certificate, Key string }

// lookAgain is how long a certificate is used before its files are checked for changes.
const lookAgain = time.Second

// certificate reloads its files when they change. New connections use the new certificate. It is safe for concurrent
// use.
type certificate struct {
	files TLSFiles
	log   *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamp  string // of the files that were last read, or that could not be read
	pair   *tls.Certificate
}

func newCertificate(files TLSFiles, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log, stamp: stampOf(files), looked: time.Now()}
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	c.pair = &pair
	return c, nil
}

// get implements [tls.Config.GetCertificate]. While the files are invalid, it returns the last valid certificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookAgain {
		return c.pair, nil
	}
	c.looked = time.Now()
	stamp := stampOf(c.files)
	if stamp == c.stamp {
		return c.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	c.stamp = stamp
	if err != nil {
		c.log.Error("reloading the certificate failed; keeping the old one", slog.Any("error", err))
		return c.pair, nil
	}
	c.pair = &pair
	c.log.Info("certificate reloaded", slog.String("file", c.files.Certificate))
	return c.pair, nil
}

// stampOf returns a text that changes when one of the files changes.
func stampOf(files TLSFiles) string {
	stamp := ""
	for _, path := range []string{files.Certificate, files.Key} {
		if info, err := os.Stat(path); err == nil {
			stamp += fmt.Sprintln(info.ModTime().UnixNano(), info.Size())
		} else {
			stamp += "missing\n"
		}
	}
	return stamp
}

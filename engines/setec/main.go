// Command setec serves a setec secrets store on one address.
//
// setec identifies callers by their Tailscale network. This server requires a Bearer token instead; a client with the
// token has full access. The standard client works with an http.Client that adds the token.
//
// The environment contains SETEC_TOKEN, and SETEC_KEY, which encrypts the stored secrets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// minSecret is the minimum length of the token and the key in bytes.
const minSecret = 16

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	listen := flag.String("listen", "127.0.0.1:4410", "address to serve on")
	data := flag.String("data", "", "folder of the secrets")
	flag.Parse()
	if err := run(*listen, *data, os.Getenv("SETEC_TOKEN"), os.Getenv("SETEC_KEY")); err != nil {
		log.Fatal("setec: ", err)
	}
}

func run(listen, data, token, key string) error {
	if data == "" || flag.NArg() > 0 {
		return errors.New("usage: setec --data FOLDER [--listen ADDRESS]")
	}
	if len(token) < minSecret || len(key) < minSecret {
		return fmt.Errorf("the environment must hold SETEC_TOKEN and SETEC_KEY, each of at least %d characters", minSecret)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	v, err := newVault(filepath.Join(data, "secrets.db"), key)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           newHandler(v, token),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	log.Printf("serving on %s", l.Addr())
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	log.Print("stopping")
	within, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	err = server.Shutdown(within)
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

const (
	stored  = 1000
	listing = `{"query":"{ services(first: %d) { nodes { id name kind phase health healthy reason endpoint restarts createdAt } pageInfo { hasNextPage endCursor } } }"}`
)

// list reads the first 50 of 1,000 services, and all of them, again and again, in turn from uws and from a handler that
// only writes the same bytes.
func list(ctx context.Context, b bench) error {
	dir := filepath.Join(b.dir, "data")
	if err := fillStore(ctx, dir); err != nil {
		return err
	}
	p, err := b.serve(ctx, dir)
	if err != nil {
		return err
	}
	defer stop(p)
	for _, of := range []struct {
		first, requests int
		most            float64 // of the ratio of medians; 0: none
		limit           time.Duration
	}{{50, 3000, 4, 0}, {stored, 600, 0, 4800 * time.Microsecond}} {
		own, bare, size, err := listPage(ctx, p, of.first, of.requests)
		if err != nil {
			return err
		}
		fmt.Printf("services(first: %d) of %d, %d bytes, uws   %s\n", of.first, stored, size, own)
		fmt.Printf("the same bytes from a bare handler           %s\n", bare)
		fmt.Printf("ratio of medians %.1f, of p99 %.1f", ratio(own.at(0.5), bare.at(0.5)), ratio(own.at(0.99), bare.at(0.99)))
		if of.limit == 0 {
			fmt.Printf(" (goal: medians at most %.0f)\n", of.most)
		} else {
			fmt.Printf(" (goal: median at most %.1f ms)\n", ms(of.limit))
		}
	}
	return nil
}

func listPage(ctx context.Context, p *uwstest.Process, first, requests int) (own, other sample, size int, err error) {
	query := fmt.Sprintf(listing, first)
	body, _, err := post(ctx, p.URL+"/graphql", p.Token, query)
	if err != nil {
		return nil, nil, 0, err
	}
	bare, err := serveBytes(ctx, body)
	if err != nil {
		return nil, nil, 0, err
	}
	defer bare.Close()
	for i := range requests {
		_, d, err := post(ctx, p.URL+"/graphql", p.Token, query)
		if err != nil {
			return nil, nil, 0, err
		}
		_, e, err := post(ctx, "http://"+bare.Addr, "", query)
		if err != nil {
			return nil, nil, 0, err
		}
		if i >= requests/10 { // the first tenth warms up
			own, other = append(own, d), append(other, e)
		}
	}
	return own, other, len(body), nil
}

// fillStore writes services that are stopped, so that uws has nothing to do but to list them.
func fillStore(ctx context.Context, dir string) error {
	st, err := store.Open(ctx, store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer st.Close()
	all, err := catalog.Load("", catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	if err != nil {
		return err
	}
	t, _ := all.Default(catalog.Queue, catalog.Process)
	now := time.Now().UTC()
	return st.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		rows := make([]*ent.ServiceCreate, stored)
		for i := range rows {
			id := fmt.Sprintf("s%025d", i)
			rows[i] = tx.Service.Create().SetID(id).SetName(fmt.Sprintf("queue-%d", i)).SetKind(t.Kind).SetTemplate(t.Name).
				SetDefinition(t).SetInputHash(id).SetVolume(id).SetCredentials([]byte("none")).SetDesiredState(lifecycle.WantStopped).
				SetPhase(lifecycle.Stopped).SetHealth(lifecycle.HealthUnknown).SetReason("stopped on request").
				SetCreatedAt(now.Add(time.Duration(i) * time.Millisecond)).SetUpdatedAt(now)
		}
		for i := 0; i < stored; i += 100 {
			if err := tx.Service.CreateBulk(rows[i : i+100]...).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func post(ctx context.Context, url, token, query string) ([]byte, time.Duration, error) {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(query)))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"errors"`))) {
		err = fmt.Errorf("%s: %.300s", resp.Status, body)
	}
	return body, time.Since(began), err
}

// serveBytes answers every request with the same bytes, after reading it.
func serveBytes(ctx context.Context, body []byte) (*http.Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Addr: l.Addr().String(), ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})}
	go func() { _ = s.Serve(l) }()
	return s, nil
}

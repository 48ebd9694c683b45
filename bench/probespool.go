package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// bareWidth is how many requests a bare pool has under way: as many as uws has probes.
const bareWidth = 512

// barePool is a prober that only uses net/http, with a new connection for each request, as Go programs do it
// that have no keep-alive. With an interval it asks each target at its own time, else all at once.
type barePool struct {
	ports    []int
	interval time.Duration
	client   *http.Client

	cancel context.CancelFunc
	work   sync.WaitGroup
}

var _ prober = (*barePool)(nil)

func newBarePool(ports []int, interval time.Duration) *barePool {
	return &barePool{ports: ports, interval: interval, client: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: probeTimeout,
	}}
}

func (p *barePool) prepare(context.Context) error { return nil }

func (p *barePool) begin(ctx context.Context) {
	ctx, p.cancel = context.WithCancel(ctx)
	places := semaphore.NewWeighted(bareWidth)
	for _, port := range p.ports {
		url := fmt.Sprintf("http://127.0.0.1:%d/", port)
		p.work.Go(func() {
			if places.Acquire(ctx, 1) == nil {
				p.ask(ctx, url)
				places.Release(1)
			}
			if p.interval == 0 {
				return
			}
			timer := time.NewTimer(time.Duration(rand.Int64N(int64(p.interval))))
			defer timer.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-timer.C:
				}
				timer.Reset(p.interval)
				p.ask(ctx, url)
			}
		})
	}
}

// ask makes one request. What it answers is seen at the other end.
func (p *barePool) ask(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}

func (p *barePool) end() error {
	p.cancel()
	p.work.Wait()
	return nil
}

func (p *barePool) close() error { return nil }

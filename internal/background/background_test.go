package background_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/internal/background"
)

// Stop cancels the context and waits for running functions. Functions passed to Go afterwards run directly, with a
// canceled context.
func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := background.NewGroup()
		ended := false
		g.Go(func(ctx context.Context) {
			<-ctx.Done()
			ended = true
		})
		synctest.Wait()
		g.Stop()
		if !ended {
			t.Error("Stop did not wait")
		}
		var late error
		g.Go(func(ctx context.Context) { late = ctx.Err() })
		if late == nil {
			t.Error("what is started after Stop has a live context, or did not run")
		}
		g.Stop()
	})
}

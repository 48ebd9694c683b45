package orchestrator_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// A full disk is an error for users, whether the store or a file reports it.
func TestDiskFullIsUnavailable(t *testing.T) {
	for _, err := range []error{&store.FullError{Dir: "/data"}, syscall.ENOSPC, syscall.EDQUOT} {
		e, ok := orchestrator.AsError(fmt.Errorf("writing: %w", err))
		if !ok || e.Code != orchestrator.Unavailable || !strings.HasPrefix(e.Message, "the disk of the data folder") || !strings.Contains(e.Message, "free some space") {
			t.Errorf("%v: %+v", err, e)
		}
	}
	if e, ok := orchestrator.AsError(errors.New("writing: disk is full")); ok {
		t.Errorf("a plain error is %+v", e)
	}
}

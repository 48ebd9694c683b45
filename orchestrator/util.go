package orchestrator

import (
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
)

// newID is a random id of 26 letters and digits that serves as a DNS label and a file name.
func newID() string { return "s" + strings.ToLower(crand.Text())[1:] }

// random is in [0, 1), for jitter.
func random() float64 { return rand.Float64() } //nolint:gosec // jitter

// utcNow is the time for rows: the wall clock alone, since a monotonic reading cannot be stored.
func utcNow() time.Time { return time.Now().UTC().Round(0) }

// inTx runs f in one write transaction and commits it unless f fails.
func (o *Orchestrator) inTx(ctx context.Context, f func(tx *ent.Tx) error) error {
	tx, err := o.store.Write.Tx(ctx)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

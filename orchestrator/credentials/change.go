package credentials

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	// SetUpTimeout bounds one call of [Vault.SetUp].
	SetUpTimeout = 30 * time.Second
	// planTimeout bounds reading what a separation would do.
	planTimeout = 10 * time.Second
)

// change logs in to an engine with a target's credentials and gives their user the password among the fresh ones. It can be
// repeated. After an error the engine may have either password. A [*refusedError] is the engine's own no, which trying again
// does not change; any other error means that the engine did not answer. No error holds a secret.
type change func(ctx context.Context, t probe.Target, fresh map[string]string) error

// lookupChange finds the way to change a password in an engine of this type.
func lookupChange(engine string) (change, bool) {
	switch engine {
	case "mongodb":
		return changeMongoDB, true
	case "postgres":
		return changePostgres, true
	}
	return nil, false
}

// refusedError is the answer of an engine that does not do what was asked.
type refusedError struct {
	code   string // of the engine
	detail string // without secrets
}

func (e *refusedError) Error() string { return e.detail }

// noAnswer is the error of an engine that did not answer, or not in its protocol.
func noAnswer(ctx context.Context, err error, t probe.Target, fresh ...map[string]string) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("no complete answer: %w", context.Canceled)
	case ctx.Err() != nil:
		return errors.New("no complete answer in time")
	}
	for cause := err; cause != nil; cause = errors.Unwrap(err) { // to the innermost: the outer ones name what they wrap
		err = cause
	}
	return errors.New("no answer: " + tidy(err.Error(), t, fresh...))
}

// tidy makes text of an engine fit for people, without the credentials of the target and the fresh ones.
func tidy(text string, t probe.Target, fresh ...map[string]string) string {
	text = probe.Tidy(t, text)
	for _, t.Credentials = range fresh {
		text = probe.Tidy(t, text)
	}
	return text
}

// SetUp creates what the new engine of a service needs before anyone can use it, see [SetUp].
func (v *Vault) SetUp(ctx context.Context, row *ent.Service, k Keys) error {
	target, _, err := v.Target(row, k.Use)
	if err != nil {
		return err
	}
	return SetUp(ctx, row.Definition.Probe.Type, target)
}

// SetUp creates what a new engine that a type of probe found not set up needs before anyone can use it. It can be
// interrupted anywhere and repeated.
func SetUp(ctx context.Context, engine string, t probe.Target) error {
	if engine != "postgres" {
		return fmt.Errorf("this uws has no setup for engines of type %s", engine)
	}
	return setUpPostgres(ctx, t)
}

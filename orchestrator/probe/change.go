package probe

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Change logs in with a target's credentials and gives their user another password. Doing it again is fine. That it
// failed does not say that the password is the old one still: ask. An error never holds a secret; a [*RefusedError] is
// the engine's own no, which trying again does not change.
type Change func(ctx context.Context, t Target, password string) error

// LookupChange finds the way to change a password in an engine of this type.
func LookupChange(engine string) (Change, bool) {
	switch engine {
	case "mongodb":
		return changeMongoDB, true
	case "postgres":
		return changePostgres, true
	}
	return nil, false
}

// RefusedError is what an engine said that does not change a password.
type RefusedError struct{ Detail string }

func (e *RefusedError) Error() string { return e.Detail }

// attempt runs work over a connection and says what became of it, without a secret of t or the new password.
func attempt(ctx context.Context, t Target, password string, work func(c *conn) error) error {
	hidden := Target{Credentials: map[string]string{"new": password}}
	c, failed := dial(ctx, t)
	if c == nil {
		return errors.New(failed.Detail)
	}
	defer c.close()
	err := work(c)
	var pg pgRefusal
	var mongo mongoRefusal
	var strangePg notPostgres
	var strangeMongo notMongoDB
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pg):
		return &RefusedError{tidy(hidden, tidy(t, string(pg)))}
	case errors.As(err, &mongo):
		return &RefusedError{tidy(hidden, tidy(t, string(mongo)))}
	case errors.As(err, &strangePg), errors.As(err, &strangeMongo):
		return errors.New("it answered something that is not its protocol")
	}
	return errors.New(readFailed(ctx, t, err, c.got, c.limit).Detail)
}

// passwordIterations is PostgreSQL's own number.
const passwordIterations = 4096

// changePostgres sends what PostgreSQL keeps of a password in place of the password, which it might log.
func changePostgres(ctx context.Context, t Target, password string) error {
	verifier, err := pgVerifier(password)
	if err != nil {
		return err
	}
	user := strings.ReplaceAll(t.Credentials["user"], `"`, `""`)
	return attempt(ctx, t, password, func(c *conn) error {
		s := &pgSession{conn: c, target: t}
		return s.change(fmt.Sprintf(`ALTER ROLE "%s" PASSWORD '%s'`, user, verifier))
	})
}

func pgVerifier(password string) (string, error) {
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		return "", errors.New("the new password is not text")
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: passwordIterations})
	if err != nil {
		return "", errors.New("the new password cannot be hashed")
	}
	in64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", passwordIterations, in64(salt), in64(stored.StoredKey), in64(stored.ServerKey)), nil
}

func changeMongoDB(ctx context.Context, t Target, password string) error {
	return attempt(ctx, t, password, func(c *conn) error {
		s := &mongoSession{conn: c, target: t}
		if err := s.login(); err != nil {
			return err
		}
		_, err := s.command(bson.D{{Key: "updateUser", Value: t.Credentials["user"]}, {Key: "pwd", Value: password}, {Key: "$db", Value: s.authSource()}})
		return err
	})
}

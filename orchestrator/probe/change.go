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

// Change logs in with a target's credentials and gives their user the password among the fresh ones. It can be repeated. That it
// failed does not say that the password is the old one still: ask. An error never holds a secret; a [*RefusedError] is
// the engine's own no, which trying again does not change.
type Change func(ctx context.Context, t Target, fresh map[string]string) error

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

// attempt runs work over a connection and says what became of it, without a secret of t or a fresh one.
func attempt(ctx context.Context, t Target, fresh map[string]string, work func(c *conn) error) error {
	hidden := Target{Credentials: fresh, Public: t.Public}
	c, failed := dial(ctx, t)
	if c == nil {
		return errors.New(failed.Detail)
	}
	defer c.close()
	err := work(c)
	var pg pgRefusal
	var mongo refusal
	var strangePg notPostgres
	var strangeMongo notMongoDB
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pg):
		return &RefusedError{tidy(hidden, tidy(t, pg.words))}
	case errors.As(err, &mongo):
		return &RefusedError{tidy(hidden, tidy(t, mongo.words))}
	case errors.As(err, &strangePg), errors.As(err, &strangeMongo):
		return errors.New("it answered something that is not its protocol")
	}
	return errors.New(readFailed(ctx, t, err, c.got, c.limit).Detail)
}

// passwordIterations is PostgreSQL's own number.
const passwordIterations = 4096

// changePostgres sends what PostgreSQL keeps of a password in place of the password, which it might log. uws's own
// password changes in the same transaction.
func changePostgres(ctx context.Context, t Target, fresh map[string]string) error {
	who := pgProbeLogin(t)
	roles := map[string]string{t.Credentials["user"]: fresh["password"]}
	if who.admin {
		roles[who.user] = fresh["adminPassword"]
	}
	var statements []string
	for role, password := range roles {
		verifier, err := pgVerifier(password)
		if err != nil {
			return err
		}
		statements = append(statements, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", pgName(role), verifier))
	}
	return attempt(ctx, t, fresh, func(c *conn) error {
		s := &pgSession{conn: c, target: t, who: who}
		if err := s.begin(); err != nil {
			return err
		}
		defer s.send('X', nil)
		return s.do(strings.Join(statements, "; "))
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

func changeMongoDB(ctx context.Context, t Target, fresh map[string]string) error {
	return attempt(ctx, t, fresh, func(c *conn) error {
		s := &mongoSession{conn: c, target: t}
		if err := s.login(); err != nil {
			return err
		}
		_, err := s.command(bson.D{{Key: "updateUser", Value: t.Credentials["user"]}, {Key: "pwd", Value: fresh["password"]}, {Key: "$db", Value: s.authSource()}})
		return err
	})
}

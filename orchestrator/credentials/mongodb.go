package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const mongoDisconnect = 5 * time.Second

// dialer is the way to a target for the driver of MongoDB, whatever address it asks for.
type dialer struct{ target probe.Target }

func (d dialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return d.target.Dial(ctx)
}

// changeMongoDB sends the password itself, as the protocol has it.
func changeMongoDB(ctx context.Context, t probe.Target, fresh map[string]string) error {
	source := cmp.Or(t.Options["authSource"], "admin")
	client, err := mongo.Connect(options.Client().SetHosts([]string{t.Address}).SetDirect(true).SetDialer(dialer{t}).SetAppName("uws").
		SetMaxPoolSize(1).SetServerMonitoringMode("poll").SetRetryReads(false).SetRetryWrites(false).
		SetAuth(options.Credential{AuthMechanism: "SCRAM-SHA-256", AuthSource: source, Username: t.Credentials["user"], Password: t.Credentials["password"]}))
	if err != nil {
		return noAnswer(ctx, err, t, fresh)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), mongoDisconnect)
		defer cancel()
		_ = client.Disconnect(closing) // nothing depends on it
	}()
	err = client.Database(source).RunCommand(ctx, bson.D{{Key: "updateUser", Value: t.Credentials["user"]}, {Key: "pwd", Value: fresh["password"]}}).Err()
	if refused, ok := errors.AsType[mongo.CommandError](err); ok && len(refused.Raw) > 0 { // else it is the driver's own
		return &refusedError{refused.Name, tidy(fmt.Sprintf("%s (%s)", refused.Message, refused.Name), t, fresh)}
	}
	if err != nil {
		return noAnswer(ctx, err, t, fresh)
	}
	return nil
}

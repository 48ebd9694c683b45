package mongodb

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

const secret = "s3cretOfTheTest"

// launch runs FerretDB until the test ends, and returns the stock client.
func launch(t *testing.T) (method.Instance, *mongo.Client) {
	t.Helper()
	engines := os.Getenv("UWS_TEST_ENGINES")
	if engines == "" {
		engines, _ = filepath.Abs("../../../../build/engines")
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, dir := l.Addr().String(), t.TempDir()
	_ = l.Close()
	cmd := exec.Command(engines + "/ferretdb-1.24.0/ferretdb")
	cmd.Env = []string{
		"FERRETDB_HANDLER=sqlite", "FERRETDB_SQLITE_URL=file:" + dir + "/", "FERRETDB_STATE_DIR=" + dir, "FERRETDB_LISTEN_ADDR=" + address,
		"FERRETDB_DEBUG_ADDR=-", "FERRETDB_TELEMETRY=disable", "FERRETDB_TEST_ENABLE_NEW_AUTH=true", "FERRETDB_SETUP_DATABASE=admin",
		"FERRETDB_SETUP_USERNAME=uws", "FERRETDB_SETUP_PASSWORD=" + secret,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (make engines builds it)", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://uws:" + secret + "@" + address + "/?authMechanism=SCRAM-SHA-256"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for err = client.Ping(ctx, nil); err != nil; err = client.Ping(ctx, nil) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	return method.Instance{Address: address, Credentials: map[string]string{"user": "uws", "password": secret}}, client
}

func TestDescribeAndCheck(t *testing.T) {
	at, client := launch(t)
	docs := make([]any, 300)
	for i := range docs {
		docs[i] = bson.D{{Key: "n", Value: i}}
	}
	for _, name := range []string{"orders", "größe"} {
		if _, err := client.Database("shop").Collection(name).InsertMany(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Database("shop").CreateCollection(t.Context(), "nothing"); err != nil {
		t.Fatal(err)
	}
	contents, err := Method{}.Describe(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	want := []method.Item{{Name: "größe", Rows: 300, Filled: true}, {Name: "nothing"}, {Name: "orders", Rows: 300, Filled: true}}
	if len(contents.Groups) != 1 || !reflect.DeepEqual(contents.Groups[0].Items, want) {
		t.Errorf("%+v", contents)
	}
	check := func(failures ...string) {
		t.Helper()
		report, err := Method{}.Check(t.Context(), at, method.Saved{Contents: contents})
		if err != nil || !reflect.DeepEqual(report.Failures, failures) {
			t.Errorf("%+v, %v, want %q", report, err, failures)
		}
	}
	check()
	if _, err := client.Database("shop").Collection("orders").DeleteOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	if err := client.Database("shop").Collection("nothing").Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("database shop: collection nothing is missing", "database shop: collection orders has 299 documents, and 300 were saved")
}

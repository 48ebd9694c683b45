// Package mongodb describes what an engine with MongoDB's protocol holds, and compares a restored one with it.
package mongodb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Method describes FerretDB and MongoDB.
type Method struct {
	// Silence is how long one answer may take; zero: 1 min.
	Silence time.Duration
}

var (
	_ method.Describer = Method{}
	_ method.Checker   = Method{}
)

const disconnectTime = 5 * time.Second

// writeCheck is the database of uws's own probe.
const writeCheck = "uws-write-check"

// Describe lists the databases and their collections, with the number of documents: at most [method.MaxItems] of each
// database, in the order of their names.
func (m Method) Describe(ctx context.Context, of method.Instance) (method.Contents, error) {
	client, err := mongo.Connect(options.Client().SetHosts([]string{of.Address}).SetDirect(true).SetAppName("uws-backup").
		SetMaxPoolSize(1).SetServerMonitoringMode("poll").SetServerSelectionTimeout(m.silence()).SetTimeout(m.silence()).
		SetAuth(options.Credential{
			AuthMechanism: "SCRAM-SHA-256", AuthSource: cmp.Or(of.Options["authSource"], "admin"),
			Username: of.Credentials["user"], Password: of.Credentials["password"],
		}))
	if err != nil {
		return method.Contents{}, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), disconnectTime)
		defer cancel()
		_ = client.Disconnect(closing) // nothing depends on it
	}()
	names, err := client.ListDatabaseNames(ctx, bson.D{})
	if err != nil {
		return method.Contents{}, fmt.Errorf("listing databases: %w", err)
	}
	slices.Sort(names)
	var all method.Contents
	for _, name := range names {
		if name == "admin" || name == "config" || name == "local" || name == writeCheck {
			continue
		}
		group, err := describe(ctx, client.Database(name))
		if err != nil {
			return method.Contents{}, fmt.Errorf("database %s: %w", name, err)
		}
		all.Groups = append(all.Groups, group)
	}
	return all, nil
}

func (m Method) silence() time.Duration { return cmp.Or(m.Silence, time.Minute) }

func describe(ctx context.Context, db *mongo.Database) (method.Group, error) {
	group := method.Group{Kind: method.Database, Name: db.Name()}
	names, err := db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return group, err
	}
	slices.Sort(names)
	group.Count = int64(len(names))
	names = names[:min(len(names), method.MaxItems)]
	group.Unlisted = group.Count - int64(len(names))
	for _, name := range names {
		n, err := db.Collection(name).CountDocuments(ctx, bson.D{})
		if err != nil {
			return group, fmt.Errorf("collection %s: %w", name, err)
		}
		group.Items = append(group.Items, method.Item{Name: name, Rows: n, Filled: n > 0})
	}
	return group, nil
}

// Check counts the documents of every collection again.
func (m Method) Check(ctx context.Context, restored method.Instance, expected method.Saved) (method.Report, error) {
	began := time.Now()
	there, err := m.Describe(ctx, restored)
	if err != nil {
		return method.Report{}, err
	}
	type key struct{ database, collection string }
	counts := map[key]int64{}
	for _, group := range there.Groups {
		for _, item := range group.Items {
			counts[key{group.Name, item.Name}] = item.Rows
		}
	}
	var report method.Report
	var collections, documents int64
	for _, group := range expected.Contents.Groups {
		for _, item := range group.Items {
			got, ok := counts[key{group.Name, item.Name}]
			switch {
			case !ok:
				report.Fail(fmt.Sprintf("database %s: collection %s is missing", group.Name, item.Name))
			case got != item.Rows:
				report.Fail(fmt.Sprintf("database %s: collection %s has %d documents, and %d were saved", group.Name, item.Name, got, item.Rows))
			}
			collections++
			documents += got
		}
	}
	report.Add("databases", int64(len(expected.Contents.Groups)))
	report.Add("collections", collections)
	report.Add("documents", documents)
	report.Duration = time.Since(began)
	return report, nil
}

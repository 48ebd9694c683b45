package e2e

import (
	"io"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/unicorn-web-services/uws/test/stories"
)

// Engines have the limitations that their templates list, and every default template lists some.
func TestLimitations(t *testing.T) {
	p := serve(t, folder(t))
	var out struct {
		Templates []struct {
			Name        string
			Limitations []string
		}
	}
	if err := p.Query(t.Context(), `{ templates { name limitations } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, tpl := range out.Templates {
		told[tpl.Name] = strings.Join(tpl.Limitations, "\n")
	}
	t.Run("versitygw", func(t *testing.T) {
		want(t, told["versitygw"], "a//b and a/b are one object", "a/b is refused")
		s := launch(t, p, "BUCKET", "files", nil)
		c, err := stories.S3Client(s.Endpoint, reveal(t, p, s.ID))
		if err != nil {
			t.Fatal(err)
		}
		put := func(key, text string) error {
			_, err := c.PutObject(t.Context(), "photos", key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
			return err
		}
		if err := c.MakeBucket(t.Context(), "photos", minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := put("a/b", "first"); err != nil {
			t.Fatal(err)
		}
		if err := put("a//b", "second"); err != nil {
			t.Errorf("a//b: %v", err)
		}
		o, err := c.GetObject(t.Context(), "photos", "a/b", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(o); err != nil || string(text) != "second" {
			t.Errorf("a/b is %q, %v", text, err)
		}
		if err := put("a/b/c", "third"); err == nil {
			t.Error("a/b/c was stored although a/b is an object")
		}
	})
	t.Run("ferretdb", func(t *testing.T) {
		want(t, told["ferretdb"], "TTL", "$lookup", "change streams", "text indexes", "transactions")
		s := launch(t, p, "NOSQL", "documents", map[string]any{"template": "ferretdb"})
		keys := reveal(t, p, s.ID)
		c, err := mongo.Connect(options.Client().ApplyURI(s.Endpoint).SetAuth(options.Credential{Username: keys["user"], Password: keys["password"]}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Disconnect(t.Context()) //nolint:errcheck // nothing depends on it
		ctx, cats := t.Context(), c.Database("zoo").Collection("cats")
		if _, err := cats.InsertOne(ctx, bson.M{"says": "meow"}); err != nil {
			t.Fatal(err)
		}
		_, err = cats.Aggregate(ctx, mongo.Pipeline{{{Key: "$lookup", Value: bson.M{"from": "dogs", "localField": "a", "foreignField": "b", "as": "c"}}}})
		cannot(t, "$lookup", err)
		_, err = cats.Watch(ctx, mongo.Pipeline{})
		cannot(t, "a change stream", err)
		_, err = cats.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "says", Value: "text"}}})
		cannot(t, "a text index", err)
		_, err = cats.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "at", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(1)})
		cannot(t, "a TTL index", err)
	})
	want(t, told["postgres"], "no pgvector")
	want(t, told["setec"], "Vault")
}

func cannot(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s works although the template says that it does not", what)
	}
}

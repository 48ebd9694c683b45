// Package stories contains what the tests of all drivers share: standard clients that write and read, and the life
// cycle of a service of each kind.
package stories

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Client writes a text to a service and reads it back, with a standard client that logs in with the given credentials.
type Client struct {
	Write func(ctx context.Context, endpoint string, keys map[string]string, text string) error
	Read  func(ctx context.Context, endpoint string, keys map[string]string) (string, error)
}

// Standard clients, by protocol.
var (
	S3       = Client{s3Write, s3Read}
	Postgres = Client{postgresWrite, postgresRead}
	MongoDB  = Client{mongoWrite, mongoRead}
	Redis    = Client{redisWrite, redisRead}
	NATS     = Client{natsWrite, natsRead}
	Setec    = Client{setecWrite, setecRead}
	OpenBao  = Client{openbaoWrite, openbaoRead}
)

// S3Client returns a stock S3 client.
func S3Client(endpoint string, keys map[string]string) (*minio.Client, error) {
	return minio.New(strings.TrimPrefix(endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(keys["accessKey"], keys["secretKey"], ""), Region: "us-east-1"})
}

func s3Write(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	c, err := S3Client(endpoint, keys)
	if err != nil {
		return err
	}
	if err := c.MakeBucket(ctx, "photos", minio.MakeBucketOptions{}); err != nil {
		return err
	}
	_, err = c.PutObject(ctx, "photos", "cat", strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	return err
}

func s3Read(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	c, err := S3Client(endpoint, keys)
	if err != nil {
		return "", err
	}
	o, err := c.GetObject(ctx, "photos", "cat", minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer o.Close()
	text, err := io.ReadAll(o)
	return string(text), err
}

// PostgresConnect logs in to a database with the stock client.
func PostgresConnect(ctx context.Context, endpoint string, keys map[string]string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(endpoint)
	if err != nil {
		return nil, err
	}
	config.User, config.Password, config.Database = keys["user"], keys["password"], keys["database"]
	return pgx.ConnectConfig(ctx, config)
}

func postgresWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	c, err := PostgresConnect(ctx, endpoint, keys)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "CREATE TABLE cats (says text)")
	if err == nil {
		_, err = c.Exec(ctx, "INSERT INTO cats VALUES ($1)", text)
	}
	return errors.Join(err, c.Close(ctx))
}

func postgresRead(ctx context.Context, endpoint string, keys map[string]string) (text string, err error) {
	c, err := PostgresConnect(ctx, endpoint, keys)
	if err != nil {
		return "", err
	}
	err = c.QueryRow(ctx, "SELECT says FROM cats").Scan(&text)
	return text, errors.Join(err, c.Close(ctx))
}

// MongoPassword gives the user of a document database another password, as the user.
func MongoPassword(ctx context.Context, endpoint string, keys map[string]string, password string) error {
	return mongoDo(ctx, endpoint, keys, func(c *mongo.Collection) error {
		return c.Database().Client().Database("admin").RunCommand(ctx, bson.D{{Key: "updateUser", Value: keys["user"]}, {Key: "pwd", Value: password}}).Err()
	})
}

func mongoDo(ctx context.Context, endpoint string, keys map[string]string, work func(*mongo.Collection) error) error {
	c, err := mongo.Connect(options.Client().ApplyURI(endpoint).SetTimeout(20 * time.Second).
		SetAuth(options.Credential{AuthMechanism: "SCRAM-SHA-256", Username: keys["user"], Password: keys["password"]}))
	if err != nil {
		return err
	}
	return errors.Join(work(c.Database("zoo").Collection("cats")), c.Disconnect(ctx))
}

func mongoWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	return mongoDo(ctx, endpoint, keys, func(cats *mongo.Collection) error {
		_, err := cats.InsertOne(ctx, bson.M{"says": text})
		return err
	})
}

func mongoRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	var cat struct{ Says string }
	err := mongoDo(ctx, endpoint, keys, func(cats *mongo.Collection) error {
		return cats.FindOne(ctx, bson.M{}).Decode(&cat)
	})
	return cat.Says, err
}

// RedisConnect returns a stock Redis client.
func RedisConnect(endpoint string, keys map[string]string) (*redis.Client, error) {
	o, err := redis.ParseURL(endpoint)
	if err != nil {
		return nil, err
	}
	o.Password = keys["password"]
	return redis.NewClient(o), nil
}

func redisWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	c, err := RedisConnect(endpoint, keys)
	if err != nil {
		return err
	}
	return errors.Join(c.Set(ctx, "cat", text, 0).Err(), c.Close())
}

func redisRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	c, err := RedisConnect(endpoint, keys)
	if err != nil {
		return "", err
	}
	text, err := c.Get(ctx, "cat").Result()
	return text, errors.Join(err, c.Close())
}

func natsConnect(endpoint string, keys map[string]string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(endpoint, nats.UserInfo(keys["user"], keys["password"]), nats.Timeout(10*time.Second))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return nc, js, err
}

func natsWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	nc, js, err := natsConnect(endpoint, keys)
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "cats", Subjects: []string{"cats"}}); err != nil {
		return err
	}
	_, err = js.Publish(ctx, "cats", []byte(text))
	return err
}

func natsRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	nc, js, err := natsConnect(endpoint, keys)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	stream, err := js.Stream(ctx, "cats")
	if err != nil {
		return "", err
	}
	m, err := stream.GetLastMsgForSubject(ctx, "cats")
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}

// setecCall calls setec's own HTTP API as documented.
func setecCall(ctx context.Context, endpoint, method string, keys map[string]string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/api/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+keys["token"])
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func setecWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	var version uint32
	return setecCall(ctx, endpoint, "put", keys, map[string]any{"Name": "cats/says", "Value": []byte(text)}, &version)
}

func setecRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	var secret struct{ Value []byte }
	err := setecCall(ctx, endpoint, "get", keys, map[string]any{"Name": "cats/says"}, &secret)
	return string(secret.Value), err
}

// openbaoCall calls OpenBao's own HTTP API with a token, or without one.
func openbaoCall(ctx context.Context, method, url, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func openbaoLogin(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	var out struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		}
	}
	err := openbaoCall(ctx, http.MethodPost, endpoint+"/v1/auth/userpass/login/"+keys["user"], "", map[string]string{"password": keys["password"]}, &out)
	return out.Auth.ClientToken, err
}

func openbaoWrite(ctx context.Context, endpoint string, keys map[string]string, text string) error {
	token, err := openbaoLogin(ctx, endpoint, keys)
	if err != nil {
		return err
	}
	return openbaoCall(ctx, http.MethodPost, endpoint+"/v1/secret/data/cats", token, map[string]any{"data": map[string]string{"says": text}}, nil)
}

func openbaoRead(ctx context.Context, endpoint string, keys map[string]string) (string, error) {
	token, err := openbaoLogin(ctx, endpoint, keys)
	if err != nil {
		return "", err
	}
	var out struct {
		Data struct{ Data struct{ Says string } }
	}
	err = openbaoCall(ctx, http.MethodGet, endpoint+"/v1/secret/data/cats", token, nil, &out)
	return out.Data.Data.Says, err
}

import type { Credentials, Kind, Service } from "../../graphql/documents";

export interface Snippet {
  language: string;
  /** The package or program it needs; empty if none. */
  needs: string;
  code: string;
}

/** Returns the credential with a name of the template; "<password>" and the like until it is revealed. */
type Values = (name: string) => string;

function valuesOf(credentials: Credentials | undefined): Values {
  return (name) => credentials?.values.find((v) => v.name === name)?.value ?? `<${name}>`;
}

/**
 * Returns the snippets of a service: the connections that its template defines, once they are revealed, and an example in
 * each language.
 */
export function snippetsOf(s: Pick<Service, "kind" | "template" | "endpoint">, credentials?: Credentials): Snippet[] {
  const connections = credentials?.connections.map((c) => ({ language: c.name, needs: "", code: c.value })) ?? [];
  return [...connections, ...examples(s.kind, s.template.name, s.endpoint ?? "", valuesOf(credentials))];
}

/** Returns an example in each language. */
function examples(kind: Kind, template: string, endpoint: string, value: Values): Snippet[] {
  const address = endpoint.replace(/^\w+:\/\//, "").replace(/\/.*$/, "");
  const [host = "", port = ""] = splitAddress(address);
  switch (kind) {
    case "DB":
      return postgres(host, port, value);
    case "BUCKET":
      return s3(endpoint, value);
    case "QUEUE":
      return nats(endpoint, value);
    case "NOSQL":
      return template === "redis" || endpoint.startsWith("redis:") ? redis(host, port, value) : mongo(address, value);
    case "SECRETS":
      return template === "setec" ? setec(endpoint, value) : [];
  }
}

function splitAddress(address: string): [string, string] {
  const colon = address.lastIndexOf(":");
  return colon < 0 ? [address, ""] : [address.slice(0, colon), address.slice(colon + 1)];
}

function postgres(host: string, port: string, value: Values): Snippet[] {
  const url = `postgres://${value("user")}:${value("password")}@${host}:${port}/${value("database")}?sslmode=disable`;
  return [
    {
      language: "Python",
      needs: "pip install psycopg",
      code: `import psycopg

with psycopg.connect("${url}") as db:
    print(db.execute("SELECT version()").fetchone())`,
    },
    {
      language: "Node",
      needs: "npm install pg",
      code: `import pg from "pg";

const db = new pg.Client("${url.replace("?sslmode=disable", "")}");
await db.connect();
console.log((await db.query("SELECT version()")).rows);
await db.end();`,
    },
    {
      language: "Go",
      needs: "go get github.com/jackc/pgx/v5",
      code: `db, err := pgx.Connect(ctx, "${url}")
if err != nil {
	return err
}
defer db.Close(ctx)
_, err = db.Exec(ctx, "SELECT version()")`,
    },
  ];
}

function s3(endpoint: string, value: Values): Snippet[] {
  const [key, secret] = [value("accessKey"), value("secretKey")];
  const bare = endpoint.replace(/^https?:\/\//, "");
  return [
    {
      language: "Python",
      needs: "pip install boto3",
      code: `import boto3
from botocore.config import Config

s3 = boto3.client(
    "s3",
    endpoint_url="${endpoint}",
    aws_access_key_id="${key}",
    aws_secret_access_key="${secret}",
    region_name="us-east-1",
    config=Config(s3={"addressing_style": "path"}),
)
s3.create_bucket(Bucket="photos")`,
    },
    {
      language: "Node",
      needs: "npm install @aws-sdk/client-s3",
      code: `import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";

const s3 = new S3Client({
  endpoint: "${endpoint}",
  region: "us-east-1",
  forcePathStyle: true,
  credentials: { accessKeyId: "${key}", secretAccessKey: "${secret}" },
});
await s3.send(new CreateBucketCommand({ Bucket: "photos" }));`,
    },
    {
      language: "Go",
      needs: "go get github.com/minio/minio-go/v7",
      code: `s3, err := minio.New("${bare}", &minio.Options{
	Creds:        credentials.NewStaticV4("${key}", "${secret}", ""),
	Region:       "us-east-1",
	BucketLookup: minio.BucketLookupPath,
})
if err != nil {
	return err
}
err = s3.MakeBucket(ctx, "photos", minio.MakeBucketOptions{})`,
    },
  ];
}

function nats(endpoint: string, value: Values): Snippet[] {
  const [user, password] = [value("user"), value("password")];
  return [
    {
      language: "Python",
      needs: "pip install nats-py",
      code: `import asyncio
import nats

async def main():
    nc = await nats.connect("${endpoint}", user="${user}", password="${password}")
    js = nc.jetstream()
    await js.add_stream(name="orders", subjects=["orders.>"])
    await js.publish("orders.new", b"hello")
    await nc.close()

asyncio.run(main())`,
    },
    {
      language: "Node",
      needs: "npm install @nats-io/transport-node @nats-io/jetstream",
      code: `import { connect } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";

const nc = await connect({ servers: "${endpoint}", user: "${user}", pass: "${password}" });
await jetstream(nc).publish("orders.new", "hello");
await nc.drain();`,
    },
    {
      language: "Go",
      needs: "go get github.com/nats-io/nats.go",
      code: `nc, err := nats.Connect("${endpoint}", nats.UserInfo("${user}", "${password}"))
if err != nil {
	return err
}
defer nc.Close()
js, err := jetstream.New(nc)
if err != nil {
	return err
}
_, err = js.Publish(ctx, "orders.new", []byte("hello"))`,
    },
  ];
}

function mongo(address: string, value: Values): Snippet[] {
  const url = `mongodb://${value("user")}:${value("password")}@${address}/?authSource=admin`;
  return [
    {
      language: "Python",
      needs: "pip install pymongo",
      code: `from pymongo import MongoClient

db = MongoClient("${url}")["shop"]
db.orders.insert_one({"item": "lamp"})`,
    },
    {
      language: "Node",
      needs: "npm install mongodb",
      code: `import { MongoClient } from "mongodb";

const client = await MongoClient.connect("${url}");
await client.db("shop").collection("orders").insertOne({ item: "lamp" });
await client.close();`,
    },
    {
      language: "Go",
      needs: "go get go.mongodb.org/mongo-driver/v2",
      code: `client, err := mongo.Connect(options.Client().ApplyURI("${url}"))
if err != nil {
	return err
}
defer client.Disconnect(ctx)
_, err = client.Database("shop").Collection("orders").InsertOne(ctx, bson.M{"item": "lamp"})`,
    },
  ];
}

function redis(host: string, port: string, value: Values): Snippet[] {
  const password = value("password");
  const url = `redis://:${password}@${host}:${port}/0`;
  const bare = host.replace(/^\[|\]$/g, ""); // neither takes an IPv6 address in brackets
  return [
    {
      language: "Python",
      needs: "pip install redis",
      code: `import redis

r = redis.from_url("${url}")
r.set("greeting", "hello")`,
    },
    {
      language: "Node",
      needs: "npm install redis",
      code: `import { createClient } from "redis";

const r = await createClient({
  socket: { host: "${bare}", port: ${port} },
  password: "${password}",
}).connect();
await r.set("greeting", "hello");
await r.close();`,
    },
    {
      language: "Go",
      needs: "go get github.com/redis/go-redis/v9",
      code: `r := redis.NewClient(&redis.Options{Addr: "${host}:${port}", Password: "${password}"})
err := r.Set(ctx, "greeting", "hello", 0).Err()`,
    },
  ];
}

function setec(endpoint: string, value: Values): Snippet[] {
  const token = value("token");
  const base = endpoint.replace(/\/$/, "");
  return [
    {
      language: "Python",
      needs: "pip install requests",
      code: `import base64, requests

s = requests.Session()
s.headers.update({
    "Authorization": "Bearer ${token}",
    "Sec-X-Tailscale-No-Browsers": "setec",
})
s.post("${base}/api/put", json={
    "Name": "team/key", "Value": base64.b64encode(b"hello").decode(),
}).raise_for_status()`,
    },
    {
      language: "Node",
      needs: "",
      code: `const answer = await fetch("${base}/api/get", {
  method: "POST",
  headers: {
    Authorization: "Bearer ${token}",
    "Sec-X-Tailscale-No-Browsers": "setec",
    "Content-Type": "application/json",
  },
  body: JSON.stringify({ Name: "team/key" }),
});
console.log(Buffer.from((await answer.json()).Value, "base64").toString());`,
    },
    {
      language: "Go",
      needs: "",
      code: `body := strings.NewReader(\`{"Name": "team/key"}\`)
req, err := http.NewRequestWithContext(ctx, http.MethodPost, "${base}/api/get", body)
if err != nil {
	return err
}
req.Header.Set("Authorization", "Bearer ${token}")
req.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
req.Header.Set("Content-Type", "application/json")
resp, err := http.DefaultClient.Do(req)
if err != nil {
	return err
}
defer resp.Body.Close()`,
    },
  ];
}

package probe

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// MongoDB logs in with the credentials user and password and pings. Option: authSource, the database that contains the
// user, by default admin. An error in MongoDB's protocol is Alive, with its text. Everything else is Dead. The probe
// implements the protocol itself: the driver starts goroutines that monitor the server and outlive an attempt.
func MongoDB(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	s := &mongoSession{conn: c, target: t}
	err := s.run()
	var refused refusal
	var strange notMongoDB
	switch {
	case err == nil:
		r := ok(t, "logged in, and it answers a ping")
		if t.Stats {
			c.hurry()
			r.Stats = s.stats()
		}
		return r
	case errors.As(err, &refused):
		return refused.alive(t)
	case errors.As(err, &strange):
		return dead(t, "answered something that is not MongoDB: %s", quote(t, []byte(strange)))
	}
	return readFailed(ctx, t, err, c.got, c.limit)
}

type notMongoDB string // what was received instead

func (e notMongoDB) Error() string { return string(e) }

const (
	opMsg         = 2013
	mongoHeader   = 16              // in bytes: length, id, id of the request, operation; all little endian
	mongoOverhead = mongoHeader + 5 // flags, and the kind of the only section
)

// mongoReply has the fields of a reply that uws reads.
type mongoReply struct {
	OK             float64 `bson:"ok"`
	Code           int32   `bson:"code"`
	CodeName       string  `bson:"codeName"`
	Message        string  `bson:"errmsg"`
	ConversationID int32   `bson:"conversationId"`
	Done           bool    `bson:"done"`
	Payload        []byte  `bson:"payload"`

	WriteErrors []mongoWriteError `bson:"writeErrors"`
	Concern     *mongoWriteError  `bson:"writeConcernError"`
	Cursor      struct {
		FirstBatch []bson.Raw `bson:"firstBatch"`
	} `bson:"cursor"`
}

type mongoWriteError struct {
	Code    int32  `bson:"code"`
	Message string `bson:"errmsg"`
}

// mongoSession is one login on one connection.
type mongoSession struct {
	*conn
	target Target
	sent   uint32 // number of requests
}

func (s *mongoSession) run() error {
	if err := s.login(); err != nil {
		return err
	}
	_, err := s.command(bson.D{{Key: "ping", Value: 1}, {Key: "$db", Value: "admin"}})
	return err
}

// authSource returns the database that contains the user.
func (s *mongoSession) authSource() string { return cmp.Or(s.target.Options["authSource"], "admin") }

// maxSteps is the maximum number of steps of a login: it takes three, or four if the server sends a final empty
// message.
const maxSteps = 5

func (s *mongoSession) login() error {
	scram, err := newScramLogin(s.target.Credentials["user"], s.target.Credentials["password"])
	if err != nil {
		return errNotText
	}
	ask := bson.D{{Key: "saslStart", Value: 1}, {Key: "mechanism", Value: "SCRAM-SHA-256"}}
	var said string
	for range maxSteps {
		var answer string
		if !scram.proven() {
			if answer, err = scram.step(said); err != nil {
				return s.scramFailed(err)
			}
		}
		reply, err := s.command(append(ask, bson.E{Key: "payload", Value: []byte(answer)}, bson.E{Key: "$db", Value: s.authSource()}))
		if err != nil {
			return err
		}
		said = string(reply.Payload)
		if reply.Done {
			if !scram.proven() {
				if _, err := scram.step(said); err != nil || !scram.proven() {
					return notMongoDB("a login without a proof")
				}
			}
			return nil
		}
		ask = bson.D{{Key: "saslContinue", Value: 1}, {Key: "conversationId", Value: reply.ConversationID}}
		if answer == "" && scram.proven() {
			break
		}
	}
	return notMongoDB("a login without an end")
}

func (s *mongoSession) scramFailed(err error) error {
	if work, ok := errors.AsType[tooMuchWork](err); ok {
		return refusal{words: "its login wants " + work.Error()}
	}
	return notMongoDB(err.Error())
}

// command sends a command and reads its reply. If the server refuses, the reply contains the reason.
func (s *mongoSession) command(command bson.D) (mongoReply, error) {
	body, err := s.exchange(command)
	if err != nil {
		return mongoReply{}, err
	}
	var reply mongoReply
	if err := bson.Unmarshal(body, &reply); err != nil {
		return mongoReply{}, notMongoDB(body)
	}
	if reply.OK != 1 {
		return reply, mongoError(s.target, reply)
	}
	return reply, nil
}

// exchange sends a command and returns the document of its reply.
func (s *mongoSession) exchange(command bson.D) ([]byte, error) {
	document, err := bson.Marshal(command)
	if err != nil {
		return nil, err
	}
	s.sent++
	var request []byte
	for _, n := range []uint32{uint32(len(document) + mongoOverhead), s.sent, 0, opMsg, 0} { //nolint:gosec // fits
		request = binary.LittleEndian.AppendUint32(request, n)
	}
	request = append(append(request, 0), document...)
	_, _ = s.raw.Write(request) // an error shows when the reply is read
	return s.reply()
}

// stats returns what the server reports of itself, as far as the user may ask, and it does not take too long.
func (s *mongoSession) stats() []Stat {
	var all []Stat
	var status struct {
		Connections *struct{ Current, Available float64 }
	}
	ask := bson.D{{Key: "serverStatus", Value: 1}}
	for _, section := range []string{"metrics", "wiredTiger", "locks", "repl", "transactions", "opLatencies", "network", "logicalSessionRecordCache"} {
		ask = append(ask, bson.E{Key: section, Value: 0}) // left out: the answer would be too long
	}
	if s.learn(ask, &status) && status.Connections != nil {
		c := status.Connections
		all = append(all, Stat{connectionsUsed, StatCount, c.Current - 1}, Stat{connectionsMax, StatCount, c.Current + c.Available}) // without ours
	}
	var list struct {
		TotalSize *float64 `bson:"totalSize"`
	}
	if s.learn(bson.D{{Key: "listDatabases", Value: 1}}, &list) && list.TotalSize != nil {
		all = append(all, Stat{databaseBytes, StatBytes, *list.TotalSize})
	}
	return all
}

// learn reads the reply to a command into fields, and reports whether that succeeded.
func (s *mongoSession) learn(command bson.D, fields any) bool {
	body, err := s.exchange(append(command, bson.E{Key: "$db", Value: "admin"}))
	return err == nil && bson.Unmarshal(body, fields) == nil
}

// reply reads the document of one reply.
func (s *mongoSession) reply() ([]byte, error) {
	head, err := s.in.Peek(4)
	if err != nil {
		return nil, err
	}
	switch size := binary.LittleEndian.Uint32(head); {
	case size <= mongoOverhead || size > 48<<20: // the protocol's limit; most likely the answer is text
		return nil, s.strange()
	case size > maxAnswer:
		return nil, errTooLong
	}
	if head, err = s.in.Peek(mongoOverhead); err != nil {
		return nil, err
	}
	field := func(i int) uint32 { return binary.LittleEndian.Uint32(head[4*i:]) }
	if field(2) != s.sent || field(3) != opMsg || head[mongoHeader+4] != 0 {
		return nil, s.strange()
	}
	body := make([]byte, field(0))
	if _, err := io.ReadFull(s.in, body); err != nil {
		return nil, err
	}
	return body[mongoOverhead:], nil
}

// strange returns the error for an answer that is not MongoDB's.
func (s *mongoSession) strange() error {
	start, _ := s.in.Peek(s.in.Buffered())
	return notMongoDB(start)
}

// mongoError returns the refusal for an error code.
func mongoError(t Target, r mongoReply) refusal {
	said := quote(t, []byte(r.Message))
	if name := printable(clip(r.CodeName, 40)); name != "" {
		said += fmt.Sprintf(" (%s)", name)
	}
	switch r.Code {
	case 13, 18, 334: // Unauthorized, AuthenticationFailed, MechanismUnavailable
		return login(said)
	case 91, 11600: // ShutdownInProgress, InterruptedAtShutdown
		return refusal{words: "is stopping: " + said}
	case 13436, 13435, 10107, 11602: // NotPrimary…, recovering
		return refusal{words: "is recovering or not the primary: " + said}
	}
	return refusal{words: "answers with an error: " + said}
}

// writeMongoDB creates a database with one collection and one document, and waits until the document is in the journal.
// It then deletes the collection. The database disappears with it, unless somebody else has created a collection there.
func writeMongoDB(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	s := &mongoSession{conn: c, target: t}
	err := s.login()
	var reply mongoReply
	if err == nil {
		reply, err = s.writeDocument()
	}
	var refused refusal
	var strange notMongoDB
	switch {
	case err == nil:
		return wrote(t)
	case errors.As(err, &refused) && reply.Code == 13: // Unauthorized
		return notAsked(t, "%s", refused.words)
	case errors.As(err, &refused) && reply.full():
		return refusedWrite(t, true, "has no room: "+quote(t, []byte(lastPart(reply.Message))))
	case errors.As(err, &refused):
		return refusedWrite(t, false, refused.words)
	case errors.As(err, &strange):
		return dead(t, "answered something that is not MongoDB: %s", quote(t, []byte(strange)))
	}
	return readFailed(ctx, t, err, c.got, c.limit)
}

// writeDocument writes a document and deletes it. If the server refuses, the reply contains the reason.
func (s *mongoSession) writeDocument() (mongoReply, error) {
	document := bson.D{{Key: "_id", Value: 1}, {Key: "data", Value: incompressible()}}
	reply, err := s.write(bson.D{{Key: "insert", Value: "check"}, {Key: "documents", Value: bson.A{document}},
		{Key: "writeConcern", Value: bson.D{{Key: "w", Value: 1}, {Key: "j", Value: true}}}})
	if deleted, failed := s.deleteWritten(); err == nil {
		return deleted, failed
	}
	return reply, err
}

func (s *mongoSession) deleteWritten() (mongoReply, error) {
	if reply, err := s.write(bson.D{{Key: "drop", Value: "check"}}); err != nil && reply.Code != 26 { // NamespaceNotFound
		return reply, err
	}
	reply, err := s.write(bson.D{{Key: "listCollections", Value: 1}, {Key: "nameOnly", Value: true}})
	if err != nil || len(reply.Cursor.FirstBatch) > 0 {
		return reply, err
	}
	return s.write(bson.D{{Key: "dropDatabase", Value: 1}})
}

// write sends a command to the database of the write check. It also returns errors of single documents.
func (s *mongoSession) write(command bson.D) (mongoReply, error) {
	reply, err := s.command(append(command, bson.E{Key: "$db", Value: writeName}))
	if err != nil {
		return reply, err
	}
	failed := reply.Concern
	if len(reply.WriteErrors) > 0 {
		failed = &reply.WriteErrors[0]
	}
	if failed != nil && failed.Code != 11000 { // a document that an earlier check left behind
		reply.Code, reply.Message = failed.Code, failed.Message
		return reply, mongoError(s.target, reply)
	}
	return reply, nil
}

// lastPart returns the end of a message that begins with the place of the failure inside the engine.
func lastPart(message string) string {
	if i := strings.LastIndexByte(message, ']'); i >= 0 {
		return message[i+1:]
	}
	return message
}

// full reports whether a refusal says that the disk is full. Only some commands return a code for it (OutOfDiskSpace).
// The others return the text of the operating system or, with FerretDB, of SQLite.
func (r mongoReply) full() bool {
	return r.Code == 14031 || strings.Contains(r.Message, "o space left") || strings.Contains(r.Message, "disk is full")
}

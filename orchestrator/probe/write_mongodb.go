package probe

import (
	"context"
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

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

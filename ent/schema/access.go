package schema

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// credential is what tokens, sessions and login links have in common. The secret itself is never stored: it has 256
// random bits, so that one round of SHA-256 is enough.
func credential() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.Bytes("hash").Unique().Immutable().Sensitive().Comment("SHA-256 of the secret."),
		field.String("name").Immutable().Comment("For people: whose it is, or what it is for."),
		field.String("role").Immutable(),
		field.JSON("kinds", []string{}).Optional().Immutable().Comment("The kinds of services it is limited to; all when empty."),
		field.Time("created_at").Immutable(),
		field.Time("expires_at").Optional().Nillable().Immutable(),
	}
}

// used is when a credential was used last, which is written in batches; memory holds a newer one.
func used() ent.Field { return field.Time("last_used_at").Optional().Nillable() }

// Token is a credential of a program.
type Token struct{ ent.Schema }

// Fields of Token.
func (Token) Fields() []ent.Field {
	return append(credential(), used(), field.String("created_by").Immutable().Comment("Name of who made it."))
}

// Indexes of Token.
func (Token) Indexes() []ent.Index { return []ent.Index{index.Fields("name").Unique()} }

// Session is a credential of a browser.
type Session struct{ ent.Schema }

// Fields of Session.
func (Session) Fields() []ent.Field {
	return append(credential(), used(),
		field.String("token_id").Optional().Immutable().Comment("Of the token that signed it in, with which it ends."),
		field.String("address").Immutable().Comment("From where it was signed in."),
		field.String("agent").Immutable().Comment("The browser, in its own words."),
	)
}

// LoginLink signs one browser in, once.
type LoginLink struct{ ent.Schema }

// Fields of LoginLink.
func (LoginLink) Fields() []ent.Field { return credential() }

// Audit is one line of the audit log. The store's triggers refuse to change or delete one.
type Audit struct{ ent.Schema }

// Fields of Audit.
func (Audit) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id").Immutable(),
		field.Time("at").Immutable().Default(time.Now),
		field.String("actor").Immutable().Comment("Name of the session or token; empty for nobody known."),
		field.String("credential").Immutable().Comment("Id of the session or token."),
		field.String("role").Immutable(),
		field.String("address").Immutable().Comment("From where; empty for the command line of this machine."),
		field.String("door").Immutable(),
		field.String("action").Immutable(),
		field.String("target").Immutable().Comment("Id or name of what was acted on."),
		field.String("target_name").Immutable().Default("").Comment("Name that an id in target stood for at that time."),
		field.String("detail").Immutable().Comment("What was asked for, without secrets, as JSON."),
		field.String("result").Immutable().Comment("OK or an error code."),
		field.String("message").Immutable().Comment("The error's text."),
	}
}

// AuditCheckpoint stands for lines that were deleted from the audit log once they were in an archive. The store's triggers refuse
// to change or delete one, and to add one that does not follow from the newest.
type AuditCheckpoint struct{ ent.Schema }

// Fields of AuditCheckpoint.
func (AuditCheckpoint) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id").Immutable(),
		field.Time("at").Immutable(),
		field.Int64("first_id").Immutable().Comment("Of the lines in the archive."),
		field.Int64("last_id").Immutable(),
		field.Int("count").Immutable().Comment("How many lines the archive has."),
		field.String("file").Immutable().Comment("Name of the archive."),
		field.String("sha256").Immutable().Comment("Of the archive, in hexadecimal digits."),
		field.Bool("signed_in").Immutable().Comment("Whether the archive has a successful sign-in."),
		field.String("previous").Immutable().Comment("Hash of the checkpoint before; empty for the first."),
		field.String("hash").Immutable().Comment("SHA-256 of all that is above but id."),
	}
}

// Indexes of AuditCheckpoint.
func (AuditCheckpoint) Indexes() []ent.Index { return []ent.Index{index.Fields("last_id")} }

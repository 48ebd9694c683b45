package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/audit"
	"github.com/unicorn-web-services/uws/ent/auditcheckpoint"
	"github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/predicate"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/ent/session"
	"github.com/unicorn-web-services/uws/ent/token"
	"github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	auditPatience = 5 * time.Second // timeout for writing one line
	auditBatch    = 500             // lines per query of an export
	maxAuditText  = 500             // maximum length in bytes of a field that holds caller-supplied text

	resultOK = "OK"
)

// Action is a request that needs a role and is recorded.
type Action struct {
	Name   string // GraphQL name of the mutation
	Needs  Role
	Target string         // id or name of the object acted on
	name   string         // name of the object if Target is an id
	Detail map[string]any // further arguments; never a secret
}

// Entry is one line of the audit log. Its JSON names are those of the API.
type Entry struct {
	ID         int64           `json:"id"`
	At         time.Time       `json:"at"`
	Actor      string          `json:"actor"`        // name of the session or token; empty if unknown
	Credential string          `json:"credentialId"` // id of the session or token
	Role       Role            `json:"role"`
	Address    string          `json:"address"`
	Channel    Channel         `json:"door"`
	Action     string          `json:"action"`
	Target     string          `json:"target"`
	TargetName string          `json:"targetName"` // name of the target at that time if Target is an id; else empty
	Detail     json.RawMessage `json:"detail,omitempty"`
	Result     string          `json:"result"`
	Message    string          `json:"message"`
}

// Do calls f if the caller has the role and is within its rate limit, and records the outcome in the audit log. It
// returns only after the record is committed.
func (au *Authenticator) Do(ctx context.Context, a Action, f func(context.Context) (any, error)) (any, error) {
	if relieves(a.Name) {
		ctx = store.WithRelief(ctx)
	}
	err := Require(ctx, a.Needs)
	if err == nil {
		err = au.rates.mutation(ctx)
	}
	if err == nil && au.opts.ReadOnly != "" && !slices.Contains(ofCredentials, a.Name) {
		err = orchestrator.Errorf(orchestrator.Unavailable, "", "uws is read-only: %s", au.opts.ReadOnly)
	}
	if err == nil {
		a.name, err = au.nameOf(ctx, a.Target) // before f, which may delete the target
	}
	if err != nil {
		au.refused(ctx, From(ctx), a, err)
		return nil, err
	}
	ended := false
	defer func() {
		if !ended { // f panicked
			_ = au.record(ctx, From(ctx), a, errors.New("panic"))
		}
	}()
	answer, err := f(ctx)
	ended = true
	if failed := au.record(ctx, From(ctx), a, err); failed != nil {
		return nil, failed
	}
	return answer, err
}

// ofCredentials lists the actions that change only credentials. They are allowed while uws is read-only, so that users
// can still sign in.
var ofCredentials = []string{"createLoginLink", "createToken", "revokeSession", "revokeToken", "signIn", "signOut"}

// relieves reports whether an action can free space on a full disk or checks how full the disk is.
func relieves(action string) bool {
	switch action {
	case "stopService", "removeService", "deleteRetainedData", "removeNode", "checkServiceHealth":
		return true
	}
	return false
}

// Read calls f, which does not change anything, if the caller has the role that a needs. If a has a target, which the caller
// must be allowed to see, reading it is recorded once an hour for each caller, before f is called.
func (au *Authenticator) Read(ctx context.Context, a Action, f func(context.Context) (any, error)) (any, error) {
	if err := Require(ctx, a.Needs); err != nil {
		au.refused(ctx, From(ctx), a, err)
		return nil, err
	}
	if a.Target == "" {
		return f(ctx)
	}
	if err := au.recordReader(store.WithRelief(ctx), a); err != nil {
		return nil, err
	}
	return f(ctx)
}

// recordReader records that an object is read, unless it did so within the last hour.
func (au *Authenticator) recordReader(ctx context.Context, a Action) (err error) {
	p := From(ctx)
	reader := strings.Join([]string{p.ID, a.Name, a.Target}, "\x00")
	if au.readers.Contains(reader) {
		return nil
	}
	if a.name, err = au.nameOf(ctx, a.Target); err != nil {
		return err
	}
	if err := au.record(ctx, p, a, nil); err != nil {
		return err
	}
	au.readers.Add(reader, struct{}{})
	return nil
}

// Refused records a request that was refused before it reached Do. Refusals beyond the limits in [Rates] are only
// counted; once a minute their number is recorded as one line.
func (au *Authenticator) Refused(ctx context.Context, address string, channel Channel, action string, err error) {
	au.refused(ctx, &Principal{Address: address, Channel: channel}, Action{Name: action}, err)
}

func (au *Authenticator) refused(ctx context.Context, p *Principal, a Action, err error) {
	if p == nil {
		p = &Principal{}
	}
	if orchestrator.CodeOf(err) == orchestrator.Internal {
		return
	}
	if !au.rates.refusal(p) {
		au.unwritten.Add(1)
		return
	}
	if failed := au.record(ctx, p, a, err); failed != nil {
		au.opts.Log.ErrorContext(ctx, "a refusal cannot be written down", slog.Any("error", failed))
	}
}

// sumUp appends a line with the number of refusals that were only counted.
func (au *Authenticator) sumUp(ctx context.Context) error {
	n := au.unwritten.Swap(0)
	if n == 0 {
		return nil
	}
	err := au.record(ctx, &Principal{}, Action{Name: "refusals", Detail: map[string]any{"count": n}},
		orchestrator.Errorf(orchestrator.RateLimited, "", "%d more requests were refused, too many for one line each", n))
	if err != nil {
		au.unwritten.Add(n)
	}
	return err
}

// record appends a line.
func (au *Authenticator) record(ctx context.Context, p *Principal, a Action, result error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditPatience)
	defer cancel()
	code, message := resultOK, ""
	if result != nil {
		code = string(orchestrator.CodeOf(result))
		if code != string(orchestrator.Internal) { // the text of an internal error may contain anything
			message = result.Error()
		}
	}
	detail, err := detailText(a.Detail)
	if err != nil {
		return err
	}
	line := au.opts.Store.Write.Audit.Create().SetAt(au.opts.Now().UTC()).
		SetActor(p.Name).SetCredential(p.ID).SetRole(string(p.Role)).SetAddress(p.Address).SetDoor(string(p.Channel)).
		SetAction(cut(a.Name)).SetTarget(cut(clean.URLs(a.Target))).SetTargetName(a.name).SetDetail(detail).SetResult(code).SetMessage(cut(clean.URLs(message)))
	if err := au.opts.Store.Do(ctx, func() error { return line.Exec(ctx) }); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// nameOf returns the name of the service, node, volume, token or session with the given id, or "" if there is none.
func (au *Authenticator) nameOf(ctx context.Context, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	read := au.opts.Store.Read
	for _, find := range []func() ([]string, error){
		func() ([]string, error) {
			return read.Service.Query().Where(service.ID(id)).Select(service.FieldName).Strings(ctx)
		},
		func() ([]string, error) {
			return read.Node.Query().Where(node.ID(id)).Select(node.FieldName).Strings(ctx)
		},
		func() ([]string, error) {
			return read.Volume.Query().Where(volume.ID(id)).Select(volume.FieldName).Strings(ctx)
		},
		func() ([]string, error) {
			return read.Token.Query().Where(token.ID(id)).Select(token.FieldName).Strings(ctx)
		},
		func() ([]string, error) {
			return read.Session.Query().Where(session.ID(id)).Select(session.FieldName).Strings(ctx)
		},
	} {
		names, err := find()
		if err != nil {
			return "", fmt.Errorf("audit log: finding the name of %.40q: %w", id, err)
		}
		if len(names) > 0 {
			return names[0], nil
		}
	}
	return "", nil
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxAuditText)], "") }

// AuditFilter selects lines. A line must match all fields that are set.
type AuditFilter struct {
	Actor   string
	Action  string
	Target  string
	Result  string
	Since   *time.Time
	Until   *time.Time
	Address string
}

func (f AuditFilter) predicates() []predicate.Audit {
	var all []predicate.Audit
	add := func(value string, p func(string) predicate.Audit) {
		if value != "" {
			all = append(all, p(value))
		}
	}
	add(f.Actor, audit.Actor)
	add(f.Action, audit.Action)
	add(f.Target, audit.Target)
	add(f.Result, audit.Result)
	add(f.Address, audit.Address)
	if f.Since != nil {
		all = append(all, audit.AtGTE(f.Since.UTC()))
	}
	if f.Until != nil {
		all = append(all, audit.AtLT(f.Until.UTC()))
	}
	return all
}

// Audit returns a page of the audit log, newest line first.
func (au *Authenticator) Audit(ctx context.Context, f AuditFilter, page orchestrator.Page) (orchestrator.List[*Entry], error) {
	var list orchestrator.List[*Entry]
	query := au.opts.Store.Read.Audit.Query().Where(f.predicates()...).Order(ent.Desc(audit.FieldID))
	if page.After != "" {
		id, ok := parseAuditCursor(page.After)
		if !ok {
			return list, orchestrator.BadCursor("after")
		}
		archived, err := au.opts.Store.AuditArchived(ctx)
		if err != nil {
			return list, err
		}
		if id <= archived {
			return list, orchestrator.Errorf(orchestrator.CursorExpired, "after", "the lines after this cursor were archived; they are in the folder audit of the data folder")
		}
		query.Where(audit.IDLT(id))
	}
	first := min(max(page.First, 1), orchestrator.MaxPage)
	rows, err := query.Limit(first + 1).All(ctx)
	if err != nil {
		return list, err
	}
	if len(rows) > first {
		rows, list.More = rows[:first], true
	}
	for _, r := range rows {
		list.Items = append(list.Items, entryOf(r))
		list.Cursors = append(list.Cursors, orchestrator.KeyCursor(auditList, strconv.FormatInt(r.ID, 10)))
	}
	return list, nil
}

// auditList is the name of the audit log in its cursors.
const auditList = "auditLog"

// parseAuditCursor returns the id of the line that a cursor is of. A bare number counts as a cursor: older versions used the
// id, which scripts may have stored.
func parseAuditCursor(cursor string) (id int64, ok bool) {
	text, ok := orchestrator.ParseKeyCursor(auditList, cursor)
	if !ok {
		text = cursor
	}
	id, err := strconv.ParseInt(text, 10, 64)
	return id, err == nil && id > 0
}

// Export calls yield for each line, oldest first, and stops if yield fails. It fails with CURSOR_EXPIRED if lines that
// it has not read yet are archived meanwhile.
func (au *Authenticator) Export(ctx context.Context, yield func(*Entry) error) error {
	for after := int64(0); ; {
		rows, err := au.opts.Store.Read.Audit.Query().Where(audit.IDGT(after)).Order(ent.Asc(audit.FieldID)).Limit(auditBatch).All(ctx)
		if err != nil {
			return err
		}
		if after > 0 {
			archived, err := au.opts.Store.AuditArchived(ctx)
			if err != nil {
				return err
			}
			if archived > after {
				return orchestrator.Errorf(orchestrator.CursorExpired, "", "lines %d to %d were archived while the audit log was read; read it again", after+1, archived)
			}
		}
		for _, r := range rows {
			if err := yield(entryOf(r)); err != nil {
				return err
			}
			after = r.ID
		}
		if len(rows) < auditBatch {
			return nil
		}
	}
}

func (au *Authenticator) everSignedIn(ctx context.Context) (bool, error) {
	archived, err := au.opts.Store.Read.AuditCheckpoint.Query().Where(auditcheckpoint.SignedIn(true)).Exist(ctx)
	if archived || err != nil {
		return archived, err
	}
	return au.opts.Store.Read.Audit.Query().Where(audit.Action("signIn"), audit.Result(resultOK)).Exist(ctx)
}

func entryOf(r *ent.Audit) *Entry {
	return &Entry{
		ID: r.ID, At: r.At.UTC(), Actor: r.Actor, Credential: r.Credential, Role: Role(r.Role), Address: r.Address, Channel: Channel(r.Door),
		Action: r.Action, Target: r.Target, TargetName: r.TargetName, Detail: json.RawMessage(r.Detail), Result: r.Result, Message: r.Message,
	}
}

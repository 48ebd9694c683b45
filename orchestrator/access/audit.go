package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/audit"
	"github.com/unicorn-web-services/uws/ent/predicate"
	"github.com/unicorn-web-services/uws/orchestrator"
)

const (
	auditPatience = 5 * time.Second // for one line to be written
	auditBatch    = 500             // lines a read, for exports
	maxAuditText  = 500             // bytes of what somebody sent that are kept in one field

	resultOK = "OK"
)

// Action is what somebody asks for.
type Action struct {
	Name   string // of the mutation
	Needs  Role
	Target string         // id or name of what it acts on
	Detail map[string]any // what else was asked for; never a secret
}

// Entry is one line of the audit log. The names of its JSON are those of the API.
type Entry struct {
	ID         int64           `json:"id"`
	At         time.Time       `json:"at"`
	Actor      string          `json:"actor"`        // name of the session or token; empty for nobody known
	Credential string          `json:"credentialId"` // its id
	Role       Role            `json:"role"`
	Address    string          `json:"address"`
	Door       Door            `json:"door"`
	Action     string          `json:"action"`
	Target     string          `json:"target"`
	Detail     json.RawMessage `json:"detail,omitempty"`
	Result     string          `json:"result"`
	Message    string          `json:"message"`
}

// Do does what f does, if who asks may do it and not too often, and writes down what came of it. An answer goes out only
// when its line is in the log.
func (k *Keeper) Do(ctx context.Context, a Action, f func(context.Context) (any, error)) (any, error) {
	err := Require(ctx, a.Needs)
	if err == nil {
		err = k.rates.mutation(ctx)
	}
	if err != nil {
		k.refused(ctx, From(ctx), a, err)
		return nil, err
	}
	ended := false
	defer func() {
		if !ended { // it panicked
			_ = k.record(ctx, From(ctx), a, errors.New("panic"))
		}
	}()
	answer, err := f(ctx)
	ended = true
	if failed := k.record(ctx, From(ctx), a, err); failed != nil {
		return nil, failed
	}
	return answer, err
}

// Read lets f read, if who asks may.
func (k *Keeper) Read(ctx context.Context, a Action, f func(context.Context) (any, error)) (any, error) {
	if err := Require(ctx, a.Needs); err != nil {
		k.refused(ctx, From(ctx), a, err)
		return nil, err
	}
	return f(ctx)
}

// Refused writes down that a door let somebody not in. From one address it does so only now and then.
func (k *Keeper) Refused(ctx context.Context, address string, door Door, action string, err error) {
	k.refused(ctx, &Principal{Address: address, Door: door}, Action{Name: action}, err)
}

func (k *Keeper) refused(ctx context.Context, p *Principal, a Action, err error) {
	if p == nil {
		p = &Principal{}
	}
	if orchestrator.CodeOf(err) == orchestrator.Internal || !k.rates.refusals.allow(p.Address) {
		return
	}
	if failed := k.record(ctx, p, a, err); failed != nil {
		k.opts.Log.ErrorContext(ctx, "a refusal cannot be written down", slog.Any("error", failed))
	}
}

// record appends a line.
func (k *Keeper) record(ctx context.Context, p *Principal, a Action, result error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditPatience)
	defer cancel()
	code, message := resultOK, ""
	if result != nil {
		code = string(orchestrator.CodeOf(result))
		if code != string(orchestrator.Internal) { // whose text may hold anything
			message = result.Error()
		}
	}
	detail := ""
	if len(a.Detail) > 0 {
		text, err := json.Marshal(a.Detail)
		if err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
		if detail = string(text); len(detail) > maxAuditText {
			detail = fmt.Sprintf(`{"leftOut":"%d bytes"}`, len(detail))
		}
	}
	err := k.opts.Store.Write.Audit.Create().SetAt(k.opts.Now().UTC()).
		SetActor(p.Name).SetCredential(p.ID).SetRole(string(p.Role)).SetAddress(p.Address).SetDoor(string(p.Door)).
		SetAction(cut(a.Name)).SetTarget(cut(a.Target)).SetDetail(detail).SetResult(code).SetMessage(cut(message)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxAuditText)], "") }

// AuditFilter selects lines: all that is set must hold.
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

// Audit reads the audit log, the newest line first.
func (k *Keeper) Audit(ctx context.Context, f AuditFilter, page orchestrator.Page) (orchestrator.List[*Entry], error) {
	var list orchestrator.List[*Entry]
	query := k.opts.Store.Read.Audit.Query().Where(f.predicates()...).Order(ent.Desc(audit.FieldID))
	if page.After != "" {
		id, err := strconv.ParseInt(page.After, 10, 64)
		if err != nil || id <= 0 {
			return list, orchestrator.Errorf(orchestrator.InvalidInput, "after", "after %.40q is no cursor of auditLog; give the endCursor of the page before", page.After)
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
		list.Cursors = append(list.Cursors, strconv.FormatInt(r.ID, 10))
	}
	return list, nil
}

// Export calls yield for every line, the oldest first, until it fails.
func (k *Keeper) Export(ctx context.Context, yield func(*Entry) error) error {
	for after := int64(0); ; {
		rows, err := k.opts.Store.Read.Audit.Query().Where(audit.IDGT(after)).Order(ent.Asc(audit.FieldID)).Limit(auditBatch).All(ctx)
		if err != nil {
			return err
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

func (k *Keeper) everSignedIn(ctx context.Context) (bool, error) {
	return k.opts.Store.Read.Audit.Query().Where(audit.Action("signIn"), audit.Result(resultOK)).Exist(ctx)
}

func entryOf(r *ent.Audit) *Entry {
	return &Entry{
		ID: r.ID, At: r.At.UTC(), Actor: r.Actor, Credential: r.Credential, Role: Role(r.Role), Address: r.Address, Door: Door(r.Door),
		Action: r.Action, Target: r.Target, Detail: json.RawMessage(r.Detail), Result: r.Result, Message: r.Message,
	}
}

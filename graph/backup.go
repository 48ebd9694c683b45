package graph

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// views converts a list that was read.
func views[T, V any](view func(T, error) (*V, error), all []T, err error) ([]*V, error) {
	if err != nil {
		return nil, err
	}
	out := make([]*V, len(all))
	for i, one := range all {
		if out[i], err = view(one, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func targetInput(in model.CreateBackupTargetInput) orchestrator.BackupTargetInput {
	out := orchestrator.BackupTargetInput{Name: in.Name, Folder: deref(in.Folder), WriteMiBPerSecond: deref(in.WriteMiBPerSecond)}
	if s := in.S3; s != nil {
		out.S3 = &orchestrator.S3Input{
			ServiceID: deref(s.ServiceID), Endpoint: deref(s.Endpoint), Region: deref(s.Region), Bucket: s.Bucket, Prefix: deref(s.Prefix),
			AccessKey: deref(s.AccessKey), SecretKey: driver.Secret(deref(s.SecretKey)), CA: deref(s.Ca),
		}
	}
	return out
}

func targetView(t orchestrator.BackupTarget, err error) (*model.BackupTarget, error) {
	if err != nil {
		return nil, err
	}
	out := &model.BackupTarget{
		ID: t.ID, Name: t.Name, Folder: model.Optional(t.Folder), ServiceID: model.Optional(t.ServiceID), Endpoint: model.Optional(t.Endpoint),
		Region: model.Optional(t.Region), Bucket: model.Optional(t.Bucket), Prefix: model.Optional(t.Prefix), AccessKey: model.Optional(t.AccessKey),
		CreatedAt: t.CreatedAt, RecoveryKitTakenAt: t.KitTakenAt, Reachable: t.Reachable, Reason: t.Reason, CheckedAt: t.CheckedAt,
		StoreSavedAt: t.StoreSavedAt, BackupCount: t.Backups, PolicyCount: t.Policies, Warnings: append([]string{}, t.Warnings...), WriteMiBPerSecond: model.Optional(t.WriteMiBPerSecond),
	}
	if t.StoredBytes != nil {
		out.StoredBytes = new(float64(*t.StoredBytes))
	}
	return out, nil
}

func policyInput(in model.BackupPolicyInput) orchestrator.BackupPolicyInput {
	return orchestrator.BackupPolicyInput{
		ServiceID: deref(in.ServiceID), Kinds: in.Kinds, Labels: values(in.Labels),
		BackupPlan: orchestrator.BackupPlan{
			TargetID: in.TargetID, Schedule: in.Schedule, TimeZone: in.TimeZone,
			Keep:        orchestrator.Keep{Last: in.Keep.Last, Daily: in.Keep.Daily, Weekly: in.Keep.Weekly, Monthly: in.Keep.Monthly},
			PointInTime: in.PointInTime, ProveEvery: time.Duration(in.ProveEvery), ProveNodeID: deref(in.ProveNodeID), FinalBackup: in.FinalBackup, Paused: in.Paused,
		},
	}
}

func policyView(p orchestrator.BackupPolicy, err error) (*model.BackupPolicy, error) {
	if err != nil {
		return nil, err
	}
	return &model.BackupPolicy{
		ID: p.ID, ServiceID: model.Optional(p.ServiceID), Kinds: append(p.Kinds[:0:0], p.Kinds...), Labels: model.Labels(p.Labels), TargetID: p.TargetID,
		Schedule: p.Schedule, TimeZone: p.TimeZone,
		Keep:        &model.BackupKeep{Last: p.Keep.Last, Daily: p.Keep.Daily, Weekly: p.Keep.Weekly, Monthly: p.Keep.Monthly},
		PointInTime: p.PointInTime, ProveEvery: p.ProveEvery, ProveNodeID: model.Optional(p.ProveNodeID), FinalBackup: p.FinalBackup,
		Paused: p.Paused, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, ServiceCount: p.Services,
	}, nil
}

func backupFilter(f *model.BackupFilter) orchestrator.BackupFilter {
	if f == nil {
		return orchestrator.BackupFilter{}
	}
	return orchestrator.BackupFilter{ServiceID: deref(f.ServiceID), TargetID: deref(f.TargetID), Kinds: f.Kind, States: f.State}
}

func backupView(b *orchestrator.Backup, err error) (*model.Backup, error) {
	if b == nil || err != nil {
		return nil, err
	}
	out := &model.Backup{
		ID: b.ID, ServiceID: b.ServiceID, ServiceName: b.ServiceName, Kind: b.Kind, Template: &model.ServiceTemplate{Name: b.Template, Version: b.Version},
		NodeID: b.NodeID, TargetID: b.TargetID, PolicyID: model.Optional(b.PolicyID), Trigger: b.Trigger, State: b.State, Reason: b.Reason, ReasonCode: b.ReasonCode,
		Pinned: b.Pinned, CreatedAt: b.CreatedAt, StartedAt: b.StartedAt, FinishedAt: b.FinishedAt, PausedSeconds: b.Paused.Seconds(),
		Bytes: float64(b.Bytes), StoredBytes: float64(b.StoredBytes), Files: b.Files, Contents: []*model.BackupGroup{}, ProvenAt: b.ProvenAt,
	}
	if len(b.Contents) > 0 {
		if err := json.Unmarshal(b.Contents, &out.Contents); err != nil {
			return nil, fmt.Errorf("contents of backup %s: %w", b.ID, err)
		}
	}
	complete(out.Contents)
	out.Proof = proofView(b.Proof)
	return out, nil
}

func proofView(p *orchestrator.Proof) *model.BackupProof {
	if p == nil {
		return nil
	}
	out := &model.BackupProof{
		At: p.At, Proven: p.Proven, Reason: p.Reason, NoRoom: p.NoRoom, DurationSeconds: p.Duration.Seconds(),
		Compared: []*model.BackupCheck{}, Failures: append([]string{}, p.Failures...),
	}
	for _, c := range p.Compared {
		out.Compared = append(out.Compared, &model.BackupCheck{What: c.What, Count: float64(c.Count)})
	}
	return out
}

// complete replaces lists that are null in JSON by empty ones.
func complete(groups []*model.BackupGroup) {
	for _, g := range groups {
		if g.Values == nil {
			g.Values = []*model.BackupValue{}
		}
		if g.Items == nil {
			g.Items = []*model.BackupGroup{}
		}
		complete(g.Items)
	}
}

func backupConnection(list orchestrator.List[*orchestrator.Backup], after *string) (*model.BackupConnection, error) {
	nodes, err := views(backupView, list.Items, nil)
	if err != nil {
		return nil, err
	}
	out := &model.BackupConnection{Edges: make([]*model.BackupEdge, len(nodes)), Nodes: nodes, PageInfo: pageInfo(list.Cursors, list.More, after)}
	for i, b := range nodes {
		out.Edges[i] = &model.BackupEdge{Cursor: list.Cursors[i], Node: b}
	}
	return out, nil
}

func restoreView(r *orchestrator.Restore, err error) (*model.Restore, error) {
	if r == nil || err != nil {
		return nil, err
	}
	return &model.Restore{
		ID: r.ID, Purpose: r.Purpose, BackupID: r.BackupID, Kind: r.Kind, Name: r.Name, At: r.At, NodeID: r.NodeID, ServiceID: model.Optional(r.ServiceID),
		State: r.State, Reason: r.Reason, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt, Bytes: float64(r.Bytes),
	}, nil
}

func restoreConnection(list orchestrator.List[*orchestrator.Restore], after *string) (*model.RestoreConnection, error) {
	nodes, err := views(restoreView, list.Items, nil)
	if err != nil {
		return nil, err
	}
	out := &model.RestoreConnection{Edges: make([]*model.RestoreEdge, len(nodes)), Nodes: nodes, PageInfo: pageInfo(list.Cursors, list.More, after)}
	for i, r := range nodes {
		out.Edges[i] = &model.RestoreEdge{Cursor: list.Cursors[i], Node: r}
	}
	return out, nil
}

func progressView(p orchestrator.BackupProgress) *model.BackupProgress {
	out := &model.BackupProgress{ID: p.ID, Step: p.Step, Text: cmp.Or(p.Text, p.Step), Bytes: float64(p.Bytes), BytesPerSecond: float64(p.PerSec)}
	if p.Total == nil {
		return out
	}
	out.TotalBytes = new(float64(*p.Total))
	if p.PerSec > 0 {
		out.RemainingSeconds = new(float64(max(0, *p.Total-p.Bytes)) / float64(p.PerSec))
	}
	return out
}

func objectView(backup string) func(*orchestrator.BackupObject, error) (*model.BackupObject, error) {
	return func(o *orchestrator.BackupObject, err error) (*model.BackupObject, error) {
		if err != nil {
			return nil, err
		}
		where := url.URL{Path: "/backups/" + backup + "/object", RawQuery: url.Values{"bucket": {o.Bucket}, "key": {o.Key}}.Encode()}
		return &model.BackupObject{
			Bucket: o.Bucket, Key: strings.ToValidUTF8(o.Key, "\uFFFD"), URL: where.String(), Bytes: float64(o.Bytes),
			ContentType: model.Optional(o.ContentType), Etag: o.ETag, ModifiedAt: o.ModifiedAt,
		}, nil
	}
}

func objectConnection(backup string, list orchestrator.List[*orchestrator.BackupObject], after *string) (*model.BackupObjectConnection, error) {
	nodes, err := views(objectView(backup), list.Items, nil)
	if err != nil {
		return nil, err
	}
	out := &model.BackupObjectConnection{Edges: make([]*model.BackupObjectEdge, len(nodes)), Nodes: nodes, PageInfo: pageInfo(list.Cursors, list.More, after)}
	for i, o := range nodes {
		out.Edges[i] = &model.BackupObjectEdge{Cursor: list.Cursors[i], Node: o}
	}
	return out, nil
}

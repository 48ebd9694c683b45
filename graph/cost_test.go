package graph

import (
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"

	"github.com/unicorn-web-services/uws/graph/generated"
)

// What is estimated is in proportion to the rows and fields that are asked for, however they are asked for.
func TestCostOf(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	const fields = "id name kind phase health healthy reason endpoint restarts createdAt"
	for _, tt := range []struct {
		query     string
		variables map[string]any
		from, to  int // kB
	}{
		{"{node(id:\"n1\"){id name}}", nil, 0, 0},
		{"mutation{restartService(id:\"s1\"){id name phase reason}}", nil, 0, 0},
		{"{services{nodes{" + fields + "}}}", nil, 500, 600},
		{"{services(first:50){nodes{" + fields + "}}}", nil, 500, 600},
		{"{services(first:50){edges{node{" + fields + "}}}}", nil, 500, 650},
		{"query($n:Int){services(first:$n){...c}} fragment c on ServiceConnection{nodes{...s}} fragment s on Service{" + fields + "}", map[string]any{"n": int64(500)}, 5000, 6000},
		{"{services(first:1000000){nodes{" + fields + "}}}", nil, 10_000, 12_000},
		{"subscription{changes{services{" + fields + "}}}", nil, 2000, 2500},
		{"{service(id:\"s1\"){uptime{buckets{from share}}}}", nil, 35, 45},
		{"{services{nodes{uptime(range:YEAR){buckets{from share}}}}}", nil, 23_000, 24_000},
		{"query($r:UptimeRange!){services{nodes{uptime(range:$r){buckets{from share}}}}}", map[string]any{"r": "WEEK"}, 10_500, 11_500},
		{"{__schema{types{name description fields{name description}}}}", nil, 1500, 3500},
		{"{__schema{types{name fields{name args{name type{name ofType{name}}}type{name ofType{name ofType{name}}}}}}}", nil, 5000, 15_000},
	} {
		doc, errs := gqlparser.LoadQueryWithRules(schema, tt.query, validationRules())
		if errs != nil {
			t.Fatal(errs)
		}
		op := &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0], Variables: tt.variables}
		cost := CostOf(op, len(tt.query))
		if kB := cost.Answer / 1000; kB < tt.from || kB > tt.to {
			t.Errorf("%s: got %d kB, want %d to %d", tt.query, kB, tt.from, tt.to)
		}
		if cost.Serve < costOfRequest || cost.Serve > CostToRead(len(tt.query)) {
			t.Errorf("%s: serving takes %d, reading %d", tt.query, cost.Serve, CostToRead(len(tt.query)))
		}
		t.Logf("%6d kB, %6d to serve, %6d to read: %.80s", cost.Answer/1000, cost.Serve, CostToRead(len(tt.query)), tt.query)
	}
}

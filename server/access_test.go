package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/unicorn-web-services/uws/graph/generated"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// operations lists all GraphQL operations, and the role that each needs.
var operations = map[string]struct {
	operation string
	needs     auth.Role
}{
	"Query.services":                        {`{ services { totalCount } }`, auth.Viewer},
	"Query.service":                         {`{ service(id: "s1") { id } }`, auth.Viewer},
	"Query.nodes":                           {`{ nodes { id } }`, auth.Viewer},
	"Query.node":                            {`{ node(id: "n1") { id } }`, auth.Viewer},
	"Query.templates":                       {`{ templates { name } }`, auth.Viewer},
	"Query.events":                          {`{ events { pageInfo { hasNextPage } } }`, auth.Viewer},
	"Query.retainedData":                    {`{ retainedData { id } }`, auth.Viewer},
	"Query.orphans":                         {`{ orphans { id } }`, auth.Viewer},
	"Query.installation":                    {`{ installation { __typename } }`, auth.Viewer},
	"Query.viewer":                          {`{ viewer { name } }`, auth.Viewer},
	"Query.sessions":                        {`{ sessions { id } }`, auth.Viewer},
	"Query.tokens":                          {`{ tokens { id } }`, auth.Admin},
	"Query.nodeConnection":                  {`{ nodeConnection { totalCount } }`, auth.Viewer},
	"Query.templateConnection":              {`{ templateConnection { totalCount } }`, auth.Viewer},
	"Query.retainedDataConnection":          {`{ retainedDataConnection { totalCount } }`, auth.Viewer},
	"Query.orphanConnection":                {`{ orphanConnection { totalCount } }`, auth.Viewer},
	"Query.sessionConnection":               {`{ sessionConnection { totalCount } }`, auth.Viewer},
	"Query.tokenConnection":                 {`{ tokenConnection { totalCount } }`, auth.Admin},
	"Query.serviceLogs":                     {`{ serviceLogs(id: "s1") { nodes { text } } }`, auth.Operator},
	"Query.usageHistory":                    {`{ usageHistory(ids: ["s1"]) { id } }`, auth.Viewer},
	"Query.auditLog":                        {`{ auditLog { nodes { id } } }`, auth.Admin},
	"Query.__schema":                        {`{ __schema { queryType { name } } }`, auth.Viewer},
	"Query.__type":                          {`{ __type(name: "Query") { name } }`, auth.Viewer},
	"Query.__typename":                      {`{ __typename }`, auth.Viewer},
	"Mutation.launchService":                {`mutation { launchService(input: {kind: QUEUE, name: "jobs"}) { id } }`, auth.Operator},
	"Mutation.removeService":                {`mutation { removeService(id: "s1") { id } }`, auth.Operator},
	"Mutation.removeService, with its data": {`mutation { removeService(id: "s1", data: DELETE) { id } }`, auth.Admin},
	"Mutation.startService":                 {`mutation { startService(id: "s1") { id } }`, auth.Operator},
	"Mutation.stopService":                  {`mutation { stopService(id: "s1") { id } }`, auth.Operator},
	"Mutation.setServiceLabels":             {`mutation { setServiceLabels(id: "s1", set: [{name: "a"}]) { service { id } } }`, auth.Operator},
	"Mutation.restartService":               {`mutation { restartService(id: "s1") { id } }`, auth.Operator},
	"Mutation.checkServiceHealth":           {`mutation { checkServiceHealth(id: "s1") { verdict } }`, auth.Operator},
	"Mutation.revealCredentials":            {`mutation { revealCredentials(id: "s1") { serviceId } }`, auth.Operator},
	"Mutation.rotateCredentials":            {`mutation { rotateCredentials(id: "s1") { id } }`, auth.Operator},
	"Mutation.swapServices":                 {`mutation { swapServices(a: "s1", b: "s2") { begun } }`, auth.Operator},
	"Mutation.deleteRetainedData":           {`mutation { deleteRetainedData(id: "v1") { id } }`, auth.Admin},
	"Mutation.adoptOrphan":                  {`mutation { adoptOrphan(id: "s9") { id } }`, auth.Admin},
	"Mutation.stopOrphan":                   {`mutation { stopOrphan(id: "s9") { id } }`, auth.Admin},
	"Mutation.removeOrphan":                 {`mutation { removeOrphan(id: "s9") { id } }`, auth.Admin},
	"Mutation.separateAdmin":                {`mutation { separateAdmin(id: "s1") { service { id } begun } }`, auth.Admin},
	"Mutation.registerNode":                 {`mutation { registerNode(input: {name: "b", driver: DOCKER, endpoint: "tcp://10.0.0.5:2376", serviceAddress: "10.0.0.5"}) { id } }`, auth.Admin},
	"Mutation.updateNode":                   {`mutation { updateNode(id: "n1", input: {draining: true}) { id } }`, auth.Admin},
	"Mutation.removeNode":                   {`mutation { removeNode(id: "n1") { id } }`, auth.Admin},
	"Mutation.createToken":                  {`mutation { createToken(input: {name: "x", role: VIEWER}) { secret } }`, auth.Admin},
	"Mutation.revokeToken":                  {`mutation { revokeToken(id: "none") { id } }`, auth.Admin},
	"Mutation.revokeSession":                {`mutation { revokeSession(id: "none") { id } }`, auth.Viewer},
	"Mutation.createLoginLink":              {`mutation { createLoginLink(input: {name: "x", role: VIEWER}) { path } }`, auth.Admin},
	"Query.backupTargets":                   {`{ backupTargets { id } }`, auth.Viewer},
	"Query.backupPolicies":                  {`{ backupPolicies { id } }`, auth.Viewer},
	"Query.backupTargetConnection":          {`{ backupTargetConnection { totalCount } }`, auth.Viewer},
	"Query.backupPolicyConnection":          {`{ backupPolicyConnection { totalCount } }`, auth.Viewer},
	"Query.backupObjects":                   {`{ backupObjects(id: "b1") { nodes { key } } }`, auth.Operator},
	"Query.backups":                         {`{ backups { nodes { id } } }`, auth.Viewer},
	"Query.backup":                          {`{ backup(id: "b1") { id } }`, auth.Viewer},
	"Query.restores":                        {`{ restores { nodes { id } } }`, auth.Viewer},
	"Query.restore":                         {`{ restore(id: "r1") { id } }`, auth.Viewer},
	"Mutation.createBackupTarget":           {`mutation { createBackupTarget(input: {name: "b", folder: "/mnt/b"}) { id } }`, auth.Admin},
	"Mutation.updateBackupTarget":           {`mutation { updateBackupTarget(id: "t1", input: {}) { id } }`, auth.Admin},
	"Mutation.deleteBackupTarget":           {`mutation { deleteBackupTarget(id: "t1") { id } }`, auth.Admin},
	"Mutation.testBackupTarget":             {`mutation { testBackupTarget(id: "t1") { id } }`, auth.Operator},
	"Mutation.recoveryKit":                  {`mutation { recoveryKit(id: "t1") { recoveryKit } }`, auth.Admin},
	"Mutation.importBackupTarget":           {`mutation { importBackupTarget(input: {name: "b", recoveryKit: "kit"}) { id } }`, auth.Admin},
	"Mutation.setBackupPolicy":              {`mutation { setBackupPolicy(input: {targetId: "t1"}) { id } }`, auth.Operator},
	"Mutation.deleteBackupPolicy":           {`mutation { deleteBackupPolicy(id: "p1") { id } }`, auth.Operator},
	"Mutation.backUpService":                {`mutation { backUpService(id: "s1") { id } }`, auth.Operator},
	"Mutation.cancelBackup":                 {`mutation { cancelBackup(id: "b1") { id } }`, auth.Operator},
	"Mutation.pinBackup":                    {`mutation { pinBackup(id: "b1") { id } }`, auth.Operator},
	"Mutation.deleteBackup":                 {`mutation { deleteBackup(id: "b1") { id } }`, auth.Admin},
	"Mutation.restoreBackup":                {`mutation { restoreBackup(id: "b1", input: {name: "copy"}) { id } }`, auth.Operator},
	"Mutation.proveBackup":                  {`mutation { proveBackup(id: "b1") { id } }`, auth.Operator},
	"Mutation.endQuarantine":                {`mutation { endQuarantine(id: "s1") { id } }`, auth.Operator},
	"Mutation.moveService":                  {`mutation { moveService(id: "s1", nodeId: "n2") { service { id } } }`, auth.Operator},
	"Mutation.cancelRestore":                {`mutation { cancelRestore(id: "r1") { id } }`, auth.Operator},
	"Subscription.backupProgress":           {`subscription { backupProgress(id: "b1") { step } }`, auth.Viewer},
	"Subscription.serviceHealthChanged":     {`subscription { serviceHealthChanged { id } }`, auth.Viewer},
	"Subscription.changes":                  {`subscription { changes { kind } }`, auth.Viewer},
	"Subscription.serviceLogs":              {`subscription { serviceLogs(id: "s1") { cursor } }`, auth.Operator},
	"Subscription.usage":                    {`subscription { usage(ids: ["s1"]) { services { serviceId } } }`, auth.Viewer},
	"Subscription.launchProgress":           {`subscription { launchProgress(serviceId: "s1") { step } }`, auth.Viewer},
}

func TestOperationsAreAllInTheTable(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range root.Fields {
			if _, ok := operations[root.Name+"."+field.Name]; !ok {
				t.Errorf("%s.%s is in no row of the table of roles", root.Name, field.Name)
			}
		}
	}
}

// expected returns the error code for a caller with the given role, or "" if the call is allowed.
func expected(role, needs auth.Role) string {
	switch {
	case role == "":
		return "UNAUTHENTICATED"
	case !role.Allows(needs):
		return "FORBIDDEN"
	}
	return ""
}

func denied(code string) string {
	if code == "UNAUTHENTICATED" || code == "FORBIDDEN" {
		return code
	}
	return ""
}

// bearers returns headers with a token of each role, and one without a token.
func bearers(t *testing.T, k *auth.Authenticator) map[auth.Role]http.Header {
	t.Helper()
	all := map[auth.Role]http.Header{"": {}}
	for _, role := range auth.Roles {
		all[role] = http.Header{"Authorization": {"Bearer " + tokenOf(t, k, role)}}
	}
	return all
}

func request(t *testing.T, method, url, body string, header http.Header) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// many are rates that no test reaches.
var many = auth.Rates{Mutations: auth.Rate{Burst: 1e6}, SignIns: auth.Rate{Burst: 1e6}, Failures: auth.Rate{Burst: 1e6}, Refusals: auth.Rate{Burst: 1e6}}

func TestRolesOverHTTP(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{Rates: many})
	url := serveLocked(t, opts)
	for role, header := range bearers(t, opts.Access) {
		for name, op := range operations {
			if strings.HasPrefix(op.operation, "subscription") {
				continue
			}
			a := read(t, request(t, http.MethodPost, url+"/graphql", asJSON(t, map[string]string{"query": op.operation}), header))
			if got, want := denied(a.code()), expected(role, op.needs); got != want {
				t.Errorf("%s as %q: got %q (%+v), want %q", name, role, got, a.Errors, want)
			}
			if a.code() == "INTERNAL" {
				t.Errorf("%s as %q: %+v", name, role, a.Errors)
			}
			if want := http.StatusUnauthorized; (role == "") != (a.status == want) {
				t.Errorf("%s as %q: status %d", name, role, a.status)
			}
		}
	}
}

func TestRolesOverWebSocket(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{Rates: many})
	url := serveLocked(t, opts)
	for role, header := range bearers(t, opts.Access) {
		s := dial(t, url)
		if role == "" {
			s.say(`{"type":"connection_init"}`)
			s.expectClose(4403)
			continue
		}
		s.say(`{"type":"connection_init","payload":{"authorization":"` + header.Get("Authorization") + `"}}`)
		s.expect("", "connection_ack", "")
		for name, op := range operations {
			s.subscribe(name, op.operation)
			want := expected(role, op.needs)
			s.say(`{"type":"ping"}`) // a subscription that is served says nothing
			code := ""
			for {
				var m message
				if err := s.ReadJSON(&m); err != nil {
					t.Fatal(err)
				}
				var one answer
				switch {
				case m.ID == name && m.Type == "error":
					_ = json.Unmarshal(m.Payload, &one.Errors)
				case m.ID == name && m.Type == "next":
					_ = json.Unmarshal(m.Payload, &one)
				}
				if got := denied(one.code()); got != "" {
					code = got
				}
				if m.ID == name && m.Type != "next" || m.Type == "pong" && want == "" && strings.HasPrefix(op.operation, "subscription") {
					break
				}
			}
			s.say(`{"id":"` + name + `","type":"complete"}`)
			if code != want {
				t.Errorf("%s as %q: got %q, want %q", name, role, code, want)
			}
		}
	}
}

func TestRolesOfOldEndpoints(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{Rates: many})
	url := serveLocked(t, opts)
	for role, header := range bearers(t, opts.Access) {
		for _, kind := range []string{"Bucket", "DB", "NoSQL", "Queue", "Secrets"} {
			list := "/" + strings.ToLower(kind) + "-services"
			for _, c := range []struct {
				method, path string
				needs        auth.Role
			}{
				{http.MethodPost, "/launch" + kind, auth.Operator},
				{http.MethodGet, list, auth.Viewer},
				{http.MethodGet, list + "/s1", auth.Viewer},
				{http.MethodGet, list + "/s1/health", auth.Operator},
				{http.MethodDelete, list + "/s1", auth.Operator},
			} {
				status := request(t, c.method, url+c.path, "", header).StatusCode
				want := map[string]int{"UNAUTHENTICATED": http.StatusUnauthorized, "FORBIDDEN": http.StatusForbidden}[expected(role, c.needs)]
				if got := status; want != 0 && got != want || want == 0 && (got == http.StatusUnauthorized || got == http.StatusForbidden) {
					t.Errorf("%s %s as %q: got %d, want %d", c.method, c.path, role, got, want)
				}
			}
		}
	}
}

// Paths other than operations need a role too, except those that reveal nothing.
func TestRolesOfPaths(t *testing.T) {
	for _, loopback := range []bool{true, false} {
		opts := options(newFake())
		opts.Access = newAuth(t, auth.Options{Rates: many})
		metrics := auth.Role("")
		if !loopback {
			opts.Listen, opts.AllowPlaintext, metrics = "0.0.0.0:0", true, auth.Viewer
		}
		url := serveLocked(t, opts)
		for role, header := range bearers(t, opts.Access) {
			for path, needs := range map[string]auth.Role{
				"/": "", "/healthz": "", "/readyz": "", "/sign-in": "", "/audit.jsonl": auth.Admin, "/metrics": metrics,
			} {
				want := http.StatusOK
				if needs != "" {
					want = map[string]int{"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "": 200}[expected(role, needs)]
				}
				header := header.Clone()
				header.Set("Accept", "text/html")
				if got := request(t, http.MethodGet, url+path, "", header).StatusCode; got != want {
					t.Errorf("loopback %v: %s as %q: got %d, want %d", loopback, path, role, got, want)
				}
			}
		}
	}
}

func postJSON(t *testing.T, c *http.Client, url, body string) *http.Response {
	t.Helper()
	response, err := c.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func linkOf(t *testing.T, k *auth.Authenticator, role auth.Role) string {
	t.Helper()
	secret, _, err := k.CreateLink(auth.With(t.Context(), auth.CommandLine()), auth.LinkInput{Name: "owner", Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

const whoAmI = `{"query":"{ viewer { name role sessionId } }"}`

func TestSession(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{})
	url := serveLocked(t, opts)
	link := `{"secret":"` + linkOf(t, opts.Access, auth.Operator) + `"}`
	response := postJSON(t, http.DefaultClient, url+"/auth/sign-in", link)
	cookies, key := response.Cookies(), keyIn(t, response)
	if response.StatusCode != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("got %s, %v", response.Status, cookies)
	}
	if k := cookies[0]; !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Path != "/" || k.Name != opts.Access.CookieName(false) || k.MaxAge <= 0 {
		t.Errorf("the cookie is %+v", k)
	}
	if a := read(t, postJSON(t, http.DefaultClient, url+"/auth/sign-in", link)); a.status != http.StatusUnauthorized || !strings.Contains(a.Errors[0].Message, "already used") {
		t.Errorf("a link works twice: %+v", a)
	}
	session := http.Header{"Cookie": {cookies[0].Name + "=" + cookies[0].Value}, "Uws-Session-Key": {key}}
	a := read(t, request(t, http.MethodPost, url+"/graphql", whoAmI, session))
	if !strings.Contains(string(a.Data), `"name":"owner","role":"OPERATOR","sessionId":"s`) {
		t.Fatalf("got %s %+v", a.Data, a.Errors)
	}
	// The old endpoints accept only tokens.
	if response := request(t, http.MethodGet, url+"/bucket-services", "", session); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session opens an old endpoint: %s", response.Status)
	}
	if response := request(t, http.MethodPost, url+"/auth/sign-out", "", session); response.StatusCode != http.StatusOK || len(response.Cookies()) != 1 || response.Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign-out: %s, %v", response.Status, response.Cookies())
	}
	if again := request(t, http.MethodPost, url+"/graphql", whoAmI, session); again.StatusCode != http.StatusUnauthorized {
		t.Errorf("after sign-out the session still works: %s", again.Status)
	}
}

func TestSignInIsLimited(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{Rates: auth.Rates{SignIns: auth.Rate{Burst: 3}, Failures: auth.Rate{Burst: 2}, Mutations: auth.Rate{Burst: 2}}})
	url := serveLocked(t, opts)
	var codes []string
	for range 5 {
		codes = append(codes, read(t, postJSON(t, http.DefaultClient, url+"/auth/sign-in", `{"secret":"x"}`)).code())
	}
	if got := strings.Join(codes, " "); got != "UNAUTHENTICATED UNAUTHENTICATED UNAUTHENTICATED RATE_LIMITED RATE_LIMITED" {
		t.Errorf("sign-ins: %s", got)
	}
	codes = nil
	for i := range 4 {
		codes = append(codes, read(t, request(t, http.MethodPost, url+"/graphql", whoAmI, http.Header{"Authorization": {fmt.Sprint("Bearer guess", i)}})).code())
	}
	if got := strings.Join(codes, " "); got != "UNAUTHENTICATED UNAUTHENTICATED RATE_LIMITED RATE_LIMITED" {
		t.Errorf("guesses: %s", got)
	}
	codes = nil
	header := http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Operator)}}
	for range 3 {
		codes = append(codes, read(t, request(t, http.MethodPost, url+"/graphql", `{"query":"mutation { stopService(id: \"s1\") { id } }"}`, header)).code())
	}
	if got := strings.Join(codes, " "); got != "OK OK RATE_LIMITED" {
		t.Errorf("mutations: %s", got)
	}
	if a := read(t, request(t, http.MethodPost, url+"/graphql", whoAmI, header)); a.code() != "OK" {
		t.Errorf("a query after too many mutations: %s", a.code())
	}
}

// When a token or session ends, its open connections are closed within a second.
func TestRevocationEndsSubscriptions(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.Access = newAuth(t, auth.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	kept := make(chan error, 1)
	go func() { kept <- opts.Access.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-kept; err != nil {
			t.Error(err)
		}
	}()
	url := serveLocked(t, opts)
	secret := tokenOf(t, opts.Access, auth.Viewer)
	byToken, bySession := dial(t, url), (*socket)(nil)
	byToken.say(`{"type":"connection_init","payload":{"Authorization":"Bearer ` + secret + `"}}`)
	cookie, key := signIn(t, url, secret)
	bySession = dialWith(t, url, http.Header{"Cookie": {cookie}})
	bySession.say(`{"type":"connection_init","payload":{"Uws-Session-Key":"` + key + `"}}`)
	for _, s := range []*socket{byToken, bySession} {
		s.expect("", "connection_ack", "")
		s.subscribe("x", changes)
	}
	api.begun(t, 2)
	admin := auth.With(t.Context(), auth.CommandLine())
	tokens, err := opts.Access.Tokens(admin)
	if err != nil || len(tokens) != 1 {
		t.Fatal(tokens, err)
	}
	began := time.Now()
	if err := opts.Access.RevokeToken(admin, tokens[0].ID); err != nil {
		t.Fatal(err)
	}
	byToken.expectClose(4403)
	bySession.expectClose(4403)
	t.Logf("both were sent away after %s", time.Since(began))
	receive(t, api.unwatch, "the watch's end")
}

// A caller limited to kinds can neither see nor change services of other kinds.
func TestKinds(t *testing.T) {
	api := newFake()
	opts := options(api)
	opts.Access = newAuth(t, auth.Options{Rates: many})
	url := serveLocked(t, opts)
	kind := api.services[0].Kind
	var other catalog.Kind
	for _, k := range catalog.Kinds() {
		if k != kind {
			other = k
		}
	}
	header := http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Operator, other)}}
	id := api.services[0].ID
	for query, want := range map[string]string{
		`{ service(id: "` + id + `") { id } }`:                                              "null",
		`mutation { stopService(id: "` + id + `") { id } }`:                                 "NOT_FOUND",
		`mutation { removeService(id: "` + id + `") { id } }`:                               "NOT_FOUND",
		`mutation { revealCredentials(id: "` + id + `") { serviceId } }`:                    "NOT_FOUND",
		`mutation { launchService(input: {kind: ` + string(kind) + `, name: "x"}) { id } }`: "FORBIDDEN",
	} {
		a := read(t, request(t, http.MethodPost, url+"/graphql", asJSON(t, map[string]string{"query": query}), header))
		if want == "null" {
			if string(a.Data) != `{"service":null}` {
				t.Errorf("%s: got %s %+v", query, a.Data, a.Errors)
			}
		} else if a.code() != want {
			t.Errorf("%s: got %s", query, a.code())
		}
	}
	for _, call := range api.called() {
		for _, verb := range []string{"Stop", "Remove", "Reveal", "Launch"} {
			if strings.HasPrefix(call, verb) {
				t.Errorf("it came to %s", call)
			}
		}
	}
}

// The audit log contains every mutation, sign-in and refusal, and no secrets.
func TestAudit(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{})
	url := serveLocked(t, opts)
	admin := http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Admin)}}
	viewer := http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, auth.Viewer)}}
	link := linkOf(t, opts.Access, auth.Viewer)
	const planted = "PLANTED-SECRET-KEY"
	do := func(header http.Header, query string) {
		response := request(t, http.MethodPost, url+"/graphql", asJSON(t, map[string]string{"query": query}), header)
		if body, err := io.ReadAll(response.Body); err != nil || strings.Contains(string(body), planted) {
			t.Errorf("the answer holds a secret: %s %v", body, err)
		}
	}
	do(admin, `mutation { stopService(id: "s1") { id } }`)
	do(admin, `mutation { startService(id: "none") { id } }`)
	do(admin, `mutation { revealCredentials(id: "s1") { values { value } } }`)
	do(admin, `mutation { registerNode(input: {name: "b", driver: DOCKER, endpoint: "tcp://10.0.0.5:2376", serviceAddress: "10.0.0.5", tls: {ca: "x", certificate: "y", key: "`+planted+`"}}) { id } }`)
	for _, endpoint := range []string{"tcp://user:" + planted + "@10.0.0.5:2376", "tcp://" + planted + "@h", "tcp://u:a b/?#" + planted + "@h", "u:" + planted + "@h", "tcp://h?token=" + planted} {
		do(admin, `mutation { registerNode(input: {name: "c", driver: DOCKER, endpoint: "`+endpoint+`", serviceAddress: "`+endpoint+`", labels: [{name: "x", value: "tcp://u:`+planted+`@h"}]}) { name } }`)
	}
	do(admin, `mutation { registerNode(input: {name: "c", driver: "tcp://u:`+planted+`@h", endpoint: "x", serviceAddress: "x"}) { name } }`)
	do(admin, `mutation { startService(id: "tcp://u:`+planted+`@h") { id } }`)
	do(viewer, `mutation { stopService(id: "s1") { id } }`)
	do(viewer, `{ tokens { id } }`)
	do(http.Header{}, `{ nodes { id } }`)
	postJSON(t, http.DefaultClient, url+"/auth/sign-in", `{"secret":"`+link+`"}`)
	postJSON(t, http.DefaultClient, url+"/auth/sign-in", `{"secret":"`+link+`"}`)
	request(t, http.MethodDelete, url+"/bucket-services/s1", "", admin)
	request(t, http.MethodDelete, url+"/bucket-services/s1", "", viewer)

	response := request(t, http.MethodGet, url+"/audit.jsonl", "", admin)
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		var e auth.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		got = append(got, fmt.Sprintln(e.Channel, e.Role, e.Action, e.Target, e.Result))
	}
	want := []string{
		"HTTP ADMIN stopService s1 OK\n",
		"HTTP ADMIN startService none NOT_FOUND\n",
		"HTTP ADMIN revealCredentials s1 OK\n",
		"HTTP ADMIN registerNode b OK\n",
		"HTTP ADMIN registerNode c OK\n",
		"HTTP ADMIN registerNode c OK\n",
		"HTTP ADMIN registerNode c OK\n",
		"HTTP ADMIN registerNode c OK\n",
		"HTTP ADMIN registerNode c OK\n",
		"HTTP ADMIN startService tcp://***@h NOT_FOUND\n",
		"HTTP VIEWER stopService s1 FORBIDDEN\n",
		"HTTP VIEWER tokens  FORBIDDEN\n",
		"HTTP  graphql  UNAUTHENTICATED\n",
		"HTTP VIEWER signIn  OK\n",
		"HTTP  signIn  UNAUTHENTICATED\n",
		"OLD_ENDPOINT ADMIN removeService s1 OK\n",
		"OLD_ENDPOINT VIEWER removeService s1 FORBIDDEN\n",
	}
	if strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("got\n%swant\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
	for _, secret := range []string{planted, link, admin.Get("Authorization"), "hunter2"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the log holds a secret: %s", secret)
		}
	}
}

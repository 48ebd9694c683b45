package catalog

import (
	"reflect"
	"sync"
)

// Interner makes equal templates share memory, so that thousands of services need little. Its zero value is ready for
// use. It is safe for concurrent use.
type Interner struct {
	mu     sync.Mutex
	newest map[string]Template // by name
}

// Intern returns a template equal to t. Consecutive calls with equal templates return the same one.
func (i *Interner) Intern(t Template) Template {
	i.mu.Lock()
	defer i.mu.Unlock()
	if same, ok := i.newest[t.Name]; ok && reflect.DeepEqual(same, t) {
		return same
	}
	if i.newest == nil {
		i.newest = map[string]Template{}
	}
	i.newest[t.Name] = t
	return t
}

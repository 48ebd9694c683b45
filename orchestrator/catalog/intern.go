package catalog

import (
	"reflect"
	"sync"
)

// Interner makes equal templates share their memory, so that thousands of services hold few of them. The zero value is
// ready for use. It is safe for concurrent use.
type Interner struct {
	mu     sync.Mutex
	newest map[string]Template // by name
}

// Intern returns a template that is equal to t, the same one for consecutive calls with equal templates.
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

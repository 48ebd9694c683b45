package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// age is a duration that can be given in days: 30d, 1d12h, 90m.
type age time.Duration

const day = 24 * time.Hour

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *age) UnmarshalText(text []byte) error {
	s := string(text)
	var days time.Duration
	if number, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is not an age, such as 30d or 12h", s)
		}
		if days = time.Duration(n) * day; n < -36500 || n > 36500 {
			return fmt.Errorf("%q is more than 100 years", s)
		}
		if s = rest; s == "" {
			s = "0s"
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not an age, such as 30d or 12h", text)
	}
	*a = age(days + d)
	return nil
}

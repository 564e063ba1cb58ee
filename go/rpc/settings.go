package rpc

import (
	"cmp"
	"slices"
	"time"
)

// Settings are what a server runs with: its options with every default filled in, where it listens and
// what it serves.
type Settings struct {
	Engine        string
	Addresses     []string
	Cores         int
	Net           string
	Spin          time.Duration // < 0: not at all
	Poll, Pin     bool
	MemoryBytes   int64 // of one core
	Limits        Limits
	Interceptors  int // how many
	NoMethodStats bool
	Methods       []MethodSettings
}

// MethodSettings are those of a registered method.
type MethodSettings struct {
	Service, Name    string
	ID               uint32
	Slow, Idempotent bool
	Verified         bool // requests are verified before the handler sees them
	Timeout          time.Duration
}

// Settings tells what the server runs with. After Close all is zero.
func (s *Server) Settings() Settings {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.freed {
		return Settings{Engine: "closed"}
	}
	c := s.engine.Settings()
	millis := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	settings := Settings{
		Engine: s.engine.Describe(), Addresses: slices.Clone(s.addresses), Cores: c.Cores, Net: c.Net,
		Poll: c.SpinMicros == -2, Pin: c.Pin, MemoryBytes: c.MemoryBytes,
		Limits: Limits{
			FrameBytes: c.FrameBytesMax, UnsentBytes: c.UnsentBytesMax, InFlight: c.InFlightMax,
			Running: c.RunningMax, Connections: c.ConnectionsMax,
			HeaderTimeout: millis(c.HeaderTimeoutMs), BodyTimeout: millis(c.BodyTimeoutMs),
			IdleTimeout: millis(c.IdleTimeoutMs), SendTimeout: millis(c.SendTimeoutMs),
		},
		Interceptors: len(s.options.Interceptors), NoMethodStats: s.options.NoMethodStats,
	}
	if !settings.Poll {
		settings.Spin = time.Duration(c.SpinMicros) * time.Microsecond
	}
	for _, m := range s.methods {
		o := m.Owner.(*served)
		settings.Methods = append(settings.Methods, MethodSettings{Service: o.service, Name: o.Name, ID: o.ID,
			Slow: o.Slow, Idempotent: o.Idempotent, Verified: o.Verify != nil, Timeout: o.Timeout})
	}
	slices.SortFunc(settings.Methods, func(a, b MethodSettings) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name))
	})
	return settings
}

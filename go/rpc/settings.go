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
	Level         int           // of the wire format: the highest that is spoken
	Spin          time.Duration // < 0: not at all
	Poll, Pin     bool
	MemoryBytes   int64 // of one core
	Limits        Limits
	Filters       int           // around every method: how many
	Compressions  []Compression // that peers of level 2 are told are decompressed
	NoMethodStats bool
	Services      []ServiceSettings // by name
	Methods       []MethodSettings  // by service and name
}

// ServiceSettings are those of a registered service.
type ServiceSettings struct {
	Name, Package string
	Source        string // the schema's file
	Filters       int    // around its methods: how many, without the server's
	Verified      bool   // all of its methods are
}

// MethodSettings are those of a registered method.
type MethodSettings struct {
	Service, Name    string
	In, Out          string
	ID               uint32
	Slow, Idempotent bool
	Verified         bool // requests are verified before the handler sees them
	Timeout          time.Duration
	Filters          int // around its calls: how many, with those of server and service
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
		Engine: s.engine.Describe(), Addresses: slices.Clone(s.addresses), Cores: c.Cores, Net: c.Net, Level: c.Level,
		Poll: c.SpinMicros == -2, Pin: c.Pin, MemoryBytes: c.MemoryBytes,
		Limits: Limits{
			FrameBytes: c.FrameBytesMax, MessageBytes: c.MessageBytesMax, CreditBytes: c.CreditBytes, UnsentBytes: c.UnsentBytesMax, InFlight: c.InFlightMax,
			Running: c.RunningMax, Connections: c.ConnectionsMax,
			HeaderTimeout: millis(c.HeaderTimeoutMs), BodyTimeout: millis(c.BodyTimeoutMs),
			IdleTimeout: millis(c.IdleTimeoutMs), SendTimeout: millis(c.SendTimeoutMs),
		},
		Filters: len(s.options.Filters), Compressions: slices.Clone(s.options.Compressions), NoMethodStats: s.options.NoMethodStats,
	}
	if !settings.Poll {
		settings.Spin = time.Duration(c.SpinMicros) * time.Microsecond
	}
	for i := range s.services {
		o := ServiceSettings{Name: s.services[i].Name, Package: s.services[i].Package, Source: s.services[i].Source,
			Filters: len(s.services[i].Filters), Verified: true}
		for _, m := range s.services[i].Methods {
			o.Verified = o.Verified && m.Verify != nil
			settings.Methods = append(settings.Methods, MethodSettings{Service: o.Name, Name: m.Name, In: m.In, Out: m.Out, ID: m.ID,
				Slow: m.Slow, Idempotent: m.Idempotent, Verified: m.Verify != nil, Timeout: m.Timeout,
				Filters: settings.Filters + o.Filters + len(m.Filters)})
		}
		settings.Services = append(settings.Services, o)
	}
	slices.SortFunc(settings.Services, func(a, b ServiceSettings) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(settings.Methods, func(a, b MethodSettings) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name))
	})
	return settings
}

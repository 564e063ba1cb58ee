package model

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// ReservedService is the service of the protocol's own methods, smf.Hello among them.
const ReservedService = "smf"

// The id of a method is what peers in every language agree on: CRC-32 of the service's name
// without namespace, XOR CRC-32 of the method with the full names of its tables.

func crc(text string) uint32 { return crc32.ChecksumIEEE([]byte(text)) }

// signature is "Get:smf_gen::demo::Request:smf_gen::demo::Response".
func signature(name string, in, out *Table) string {
	colons := func(t *Table) string { return strings.ReplaceAll(t.FullName(), ".", "::") }
	return name + ":" + colons(in) + ":" + colons(out)
}

// IDs are the services and method ids of several schemas that may meet in one server.
type IDs struct {
	methods  map[uint32]place
	services map[string]place
}

// place is where a name was declared.
type place struct{ name, schema string }

func (p place) String() string { return p.name + " in " + p.schema }

// Add notes a schema's services, which schema is the path of. Zero is no id on the wire; an id can mean
// one method only, and a name one service.
func (ids *IDs) Add(schema string, s *Schema) error {
	if ids.methods == nil {
		ids.methods, ids.services = make(map[uint32]place), make(map[string]place)
	}
	for _, service := range s.Services {
		here := place{service.FullName(), schema}
		if other, taken := ids.services[service.Name]; taken {
			return fmt.Errorf("%s: service %s has the name of service %s; on the wire, namespaces do not count:"+
				" rename one of them", schema, here.name, other)
		}
		ids.services[service.Name] = here
		for _, m := range service.Methods {
			if err := ids.addMethod(place{service.Name + "." + m.Name, schema}, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ids *IDs) addMethod(here place, m *Method) error {
	if m.ID == 0 {
		return fmt.Errorf("%s: method %s: its id is 0, which the wire format forbids; rename it",
			here.schema, here.name)
	}
	if other, taken := ids.methods[m.ID]; taken {
		return fmt.Errorf("%s: method %s: its id %d is that of %s, too; rename one of them",
			here.schema, here.name, m.ID, other)
	}
	ids.methods[m.ID] = here
	return nil
}

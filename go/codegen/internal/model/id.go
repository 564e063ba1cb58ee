package model

import (
	"errors"
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
	methods  map[uint32]named
	services map[string]named
}

// named is a place, and how messages call it.
type named struct {
	name string
	Place
}

// Add notes a schema's services; schema is what Places call it by. Zero is no id on the wire; an id can mean
// one method only, and a name one service. What is against that are *Errors, joined.
func (ids *IDs) Add(schema string, s *Schema) error {
	var problems []error
	if ids.methods == nil {
		ids.methods, ids.services = make(map[uint32]named), make(map[string]named)
	}
	for _, service := range s.Services {
		here := named{service.FullName(), Place{Schema: schema, File: service.File, Declaration: service.FullName(), Service: true}}
		if other, taken := ids.services[service.Name]; taken {
			problems = append(problems, &Error{
				Place: here.Place, What: "service " + here.name + " has the name of service " + other.name,
				Other: &other.Place, Hint: "on the wire, namespaces do not count; rename one of them",
			})
			continue
		}
		ids.services[service.Name] = here
		for _, m := range service.Methods {
			here.name, here.Member = service.Name+"."+m.Name, m.Name
			if err := ids.addMethod(here, m); err != nil {
				problems = append(problems, err)
			}
		}
	}
	return errors.Join(problems...)
}

func (ids *IDs) addMethod(here named, m *Method) error {
	if m.ID == 0 {
		return &Error{
			Place: here.Place, What: "method " + here.name + ": its id is 0, which the wire format forbids",
			Hint: "rename it",
		}
	}
	if other, taken := ids.methods[m.ID]; taken {
		return &Error{
			Place: here.Place, What: fmt.Sprintf("method %s: its id %d is that of %s", here.name, m.ID, other.name),
			Other: &other.Place, Hint: "rename one of them",
		}
	}
	ids.methods[m.ID] = here
	return nil
}

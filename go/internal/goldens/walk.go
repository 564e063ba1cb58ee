package goldens

import (
	"reflect"
	"slices"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Walk reads every field that accessors can read, as deep as they lead, but at most so many values: a few
// bytes can stand for very many. Root is a pointer to a generated table or struct. It returns how many values
// it read. A panic is the accessors'.
func Walk(root any, values int) int {
	w := walker{left: values}
	w.object(reflect.ValueOf(root))
	return values - w.left
}

type walker struct{ left int }

// passive are the methods that read no field, or all of them.
var passive = []string{"Table", "Init", "UnPack", "UnPackTo", "LookupByKey"}

var unionType = reflect.TypeFor[*flatbuffers.Table]()

// object calls every method that reads.
func (w *walker) object(v reflect.Value) {
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if w.left <= 0 {
			return
		}
		if slices.Contains(passive, name) || strings.HasPrefix(name, "Mutate") {
			continue
		}
		w.left--
		method := v.Method(i)
		if in := method.Type().NumIn(); in == 0 || method.Type().In(in-1) != reflect.TypeFor[int]() {
			w.call(method)
			continue
		}
		for j := range length(v, name) {
			if w.left--; w.left <= 0 {
				return
			}
			w.call(method, reflect.ValueOf(j))
		}
	}
}

// length is how many elements the vector has that a method reads: Shapes, or ShapesAsCircle.
func length(v reflect.Value, name string) int {
	for end := len(name); end > 0; end = strings.LastIndex(name[:end], "As") {
		if method := v.MethodByName(name[:end] + "Length"); method.IsValid() {
			return int(method.Call(nil)[0].Int())
		}
	}
	panic("no length for " + name)
}

// call calls a method with what it wants before the last arguments: an object to set, or a key to look for.
func (w *walker) call(method reflect.Value, last ...reflect.Value) {
	t := method.Type()
	var arguments []reflect.Value
	var object reflect.Value
	for i := range t.NumIn() - len(last) {
		switch in := t.In(i); {
		case in.Kind() == reflect.Pointer:
			object = reflect.New(in.Elem())
			arguments = append(arguments, object)
		default:
			arguments = append(arguments, reflect.Zero(in))
		}
	}
	results := method.Call(append(arguments, last...))
	if !object.IsValid() || object.Type() == unionType {
		return
	}
	if found := results[0]; found.Kind() == reflect.Bool && found.Bool() ||
		found.Kind() == reflect.Pointer && !found.IsNil() {
		w.object(object)
	}
}

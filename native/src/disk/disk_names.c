#include "disk/disk_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void smf__disk_names_drop(struct smf__disk_names *names)
{
    free(names->list);
    memset(names, 0, sizeof *names);
}

static struct smf__disk_name *find(const struct smf__disk_names *names,
                                   const struct smf__disk_inode *folder, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (names->list[i].folder == folder && strcmp(names->list[i].name, name) == 0)
            return &names->list[i];
    }
    return NULL;
}

struct smf__disk_inode *smf__disk_names_find(const struct smf__disk_names *names,
                                             const struct smf__disk_inode *folder, const char *name)
{
    const struct smf__disk_name *found = find(names, folder, name);

    return found != NULL ? found->child : NULL;
}

void smf__disk_names_add(struct smf__disk_names *names, const struct smf__disk_name *name)
{
    struct smf__disk_name *found = find(names, name->folder, name->name);

    if (found == NULL && names->count == names->capacity) {
        names->capacity = names->capacity != 0 ? 2 * names->capacity : 16;
        names->list = smf__disk_must(realloc(names->list, names->capacity * sizeof *names->list));
    }
    if (found == NULL)
        found = &names->list[names->count++];
    *found = *name;
}

void smf__disk_names_remove(struct smf__disk_names *names, const struct smf__disk_name *name)
{
    struct smf__disk_name *found = find(names, name->folder, name->name);

    if (found != NULL && found->child == name->child)
        *found = names->list[--names->count];
}

int smf__disk_names_empty(const struct smf__disk_names *names, const struct smf__disk_inode *folder)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (names->list[i].folder == folder)
            return 0;
    }
    return 1;
}

void smf__disk_names_apply(struct smf__disk_names *names, const struct smf__disk_change *change)
{
    if (change->gone.child != NULL)
        smf__disk_names_remove(names, &change->gone);
    if (change->given.child != NULL)
        smf__disk_names_add(names, &change->given);
}

/* Takes the next name off a path; returns its length, 0 at the end. */
static size_t next_name(const char **path, const char **name)
{
    size_t length;

    for (;;) {
        while (**path == '/')
            (*path)++;
        length = strcspn(*path, "/");
        *name = *path;
        *path += length;
        if (length != 1 || **name != '.')
            return length;
    }
}

int smf__disk_names_walk(const struct smf__disk_names *names, struct smf__disk_inode *root,
                         const char *path, struct smf__disk_name *where)
{
    const char *name;
    size_t length;

    memset(where, 0, sizeof *where);
    where->child = root;
    while ((length = next_name(&path, &name)) > 0) {
        if (length >= sizeof where->name)
            return -ENAMETOOLONG;
        if (where->child == NULL)
            return -ENOENT;
        if (!where->child->is_folder)
            return -ENOTDIR;
        where->folder = where->child;
        memset(where->name, 0, sizeof where->name);
        memcpy(where->name, name, length);
        where->child = smf__disk_names_find(names, where->folder, where->name);
    }
    return 0;
}

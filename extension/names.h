/*
 * names.h
 *		Event types and organizations that one statement has looked up.
 *
 * A statement sees one state of the catalogue, so each name needs one look;
 * a bulk change asks for the same few again and again.
 */
#ifndef WH_NAMES_H
#define WH_NAMES_H

typedef struct Names Names;

/* Empty; lives in the current memory context. */
extern Names *wh_names_create(void);

/* As wh_catalogue_check_event_type. */
extern void wh_names_check_event_type(Names *names, text *type);

/* As wh_catalogue_organization_name; valid until the next call. */
extern const char *wh_names_organization(Names *names, text *id);

#endif							/* WH_NAMES_H */

# install.mk - program, manual, completions, header, both libraries and the pkg-config file; packages.
DESTDIR ?=
MAN_DIR   := $(BUILD)/man
HIDDEN    := $(shell grep -l '\.hidden = true' src/app/cmd_*.c)
COMMANDS  := $(filter-out $(HIDDEN:src/app/cmd_%.c=%),$(shell sed -n 's/^COMMAND(\(.*\))/\1/p' src/app/commands.def))
HEADERS   := $(wildcard include/*.h)
SHELLS    := bash zsh fish
AT        := $(DESTDIR)$(PREFIX)
FILLED    := sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@VERSION@|$(VERSION)|g' -e 's|@PKGS@|$(PKGS)|g'
RUN_IT    := $(EMULATOR) ./$(PROGRAM)
SHARE     := share/man/man1/hearth.1 $(COMMANDS:%=share/man/man1/hearth-%.1) share/bash-completion/completions/hearth \
             share/zsh/site-functions/_hearth share/fish/vendor_completions.d/hearth.fish
SERVICE   := $(if $(filter linux,$(SYSTEM)),lib/systemd/system/hearth.service,share/hearth/org.hearth.serve.plist)

.PHONY: man install install-program install-library uninstall
man: $(MAN_DIR)/done
$(MAN_DIR)/done: $(PROGRAM)
	$(SAY) "MAN  $(@D)"
	$(Q)mkdir -p $(@D)
	$(Q)$(RUN_IT) help --man > $(@D)/hearth.1
	$(Q)for c in $(COMMANDS); do $(RUN_IT) help --man $$c > $(@D)/hearth-$$c.1 || exit 1; done
	$(Q)for s in $(SHELLS); do $(RUN_IT) completion $$s > $(@D)/completion.$$s || exit 1; done
	$(Q)touch $@
## make man          manual pages and completions, from the program's own help

install-program: $(PROGRAM) man
	install -d $(addprefix $(AT)/,bin $(sort $(dir $(SHARE) $(SERVICE))))
	install -m 755 $(PROGRAM) $(AT)/bin/hearth
	install -m 644 $(MAN_DIR)/*.1 $(AT)/share/man/man1
	install -m 644 $(MAN_DIR)/completion.bash $(AT)/share/bash-completion/completions/hearth
	install -m 644 $(MAN_DIR)/completion.zsh $(AT)/share/zsh/site-functions/_hearth
	install -m 644 $(MAN_DIR)/completion.fish $(AT)/share/fish/vendor_completions.d/hearth.fish
	$(FILLED) packaging/$(notdir $(SERVICE)) > $(AT)/$(SERVICE)
	chmod 644 $(AT)/$(SERVICE)

install-library: $(BUILD)/libhearth.a $(SO)
	install -d $(AT)/include $(AT)/lib/pkgconfig
	install -m 644 $(HEADERS) $(AT)/include/
	install -m 644 $(BUILD)/libhearth.a $(AT)/lib/libhearth.a
	install -m 755 $(SO) $(AT)/lib/$(SONAME)
	ln -sf $(SONAME) $(AT)/lib/$(SOLINK)
	$(FILLED) mk/hearth.pc.in > $(AT)/lib/pkgconfig/hearth.pc
	chmod 644 $(AT)/lib/pkgconfig/hearth.pc

install: install-program install-library
uninstall:
	rm -f $(addprefix $(AT)/,bin/hearth $(HEADERS) lib/libhearth.a lib/$(SONAME) lib/$(SOLINK) lib/pkgconfig/hearth.pc \
	  $(SHARE) $(SERVICE))
## make install      into PREFIX (/usr/local); DESTDIR is honoured

# A Debian package of the program; built by tools of dpkg alone.
.PHONY: deb dist formula
deb: $(PROGRAM) man
	@BUILD='$(BUILD)' VERSION='$(VERSION)' packaging/deb
## make deb          a Debian package in $(BUILD) (needs dpkg-dev)

DIST := $(BUILD)/hearth-$(VERSION).tar.gz
dist:
	@mkdir -p $(BUILD)
	git archive --format=tar.gz --prefix=hearth-$(VERSION)/ -o $(DIST) HEAD
## make dist         the sources of this commit, packed
formula: dist
	@test -n '$(URL)' || { echo 'say where $(notdir $(DIST)) will lie: make formula URL=https://...' >&2; exit 1; }
	sed -e 's|@URL@|$(URL)|' -e "s|@SHA256@|$$(openssl dgst -sha256 -r $(DIST) | cut -d' ' -f1)|" packaging/hearth.rb.in > $(BUILD)/hearth.rb
## make formula URL=ADDRESS   a Homebrew formula for the packed sources that lie there
